// Command sidecar is the connector-proxy container: an ambassador that gives the
// other containers of its Pod access to clusters, and keeps the tokens to itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/kube-connector/kube-connector/internal/program"
	"github.com/kube-connector/kube-connector/internal/version"
)

const usage = `usage: sidecar <command> [flags]

  run      serve the connectors of this Pod
  wait     return when run is ready (the container's postStart hook)
  version  print the version`

func main() { os.Exit(program.Main("sidecar", run)) }

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "run":
		return runServe(ctx, args, stderr)
	case "wait":
		return runWait(ctx, args, stderr)
	case "version":
		fmt.Fprintln(stdout, version.String())
		return nil
	}
	fmt.Fprintln(stderr, usage)
	return program.ErrUsage
}

// parse parses flags and refuses what is left over.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return program.ErrUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
