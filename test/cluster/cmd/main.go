// Cmd brings the cluster for the demo up and down, and builds what it is made
// of.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kube-connector/kube-connector/test/cluster"
)

const usage = `usage:
  cluster up [--name demo] [--install=false]   bring two clusters up and install Kubernetes Connector in one
  cluster down [--name demo]                   take them down and remove everything of them
  cluster binaries                             build the clusters' programs and print their directory
  cluster runners                              the same for the systems and clients of the tests on it`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "up":
		name := flags.String("name", "demo", "the instance")
		install := flags.Bool("install", true, "install Kubernetes Connector")
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		return up(ctx, *name, *install)
	case "down":
		name := flags.String("name", "demo", "the instance")
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		return down(ctx, *name)
	case "binaries":
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		dir, err := cluster.Binaries(ctx, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(dir)
		return nil
	case "runners":
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		return runners(ctx)
	default:
		return fmt.Errorf("there is no command %q\n%s", args[0], usage)
	}
}

func runners(ctx context.Context) error {
	for _, build := range []func(context.Context, io.Writer) (cluster.Runner, error){cluster.Tekton, cluster.ArgoWorkflows, cluster.CertManager} {
		runner, err := build(ctx, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(runner.Binaries)
	}
	for _, build := range []func(context.Context, io.Writer) (string, error){cluster.Helm, cluster.OldKubectl} {
		client, err := build(ctx, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(filepath.Dir(client))
	}
	return nil
}

func parse(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q\n%s", flags.Name(), flags.Arg(0), usage)
	}
	return nil
}

func up(ctx context.Context, name string, install bool) error {
	c, err := cluster.Up(ctx, cluster.Config{Name: name, Progress: os.Stderr})
	if err != nil {
		return err
	}
	dir, err := c.WriteAccess()
	if err != nil {
		return err
	}
	if install {
		if err := c.Install(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.Join(err, c.Down(context.WithoutCancel(ctx)), cluster.RemoveAccess(name))
			}
			// The cluster stays, for whoever wants to look into it.
			return fmt.Errorf("%w\nthe cluster is up; to look into it: %s", err, command(dir, "get pods --all-namespaces"))
		}
	}
	fmt.Printf(`
Two clusters are up: home, with a node, and target at %s.
  %s
  %s
To remove them:
  %s
`, c.Target.Address, command(dir, "get pods --all-namespaces"),
		filepath.Join(dir, "kubectl")+" --kubeconfig "+filepath.Join(dir, "target.kubeconfig")+" get namespaces", downCommand(name))
	return nil
}

func downCommand(name string) string {
	if name == "demo" {
		return "make cluster-down"
	}
	return "go run ./test/cluster/cmd down --name " + name
}

func command(dir, args string) string {
	return filepath.Join(dir, "kubectl") + " --kubeconfig " + filepath.Join(dir, "home.kubeconfig") + " " + args
}

func down(ctx context.Context, name string) error {
	if err := cluster.Down(ctx, name, os.Stderr); err != nil {
		return err
	}
	return cluster.RemoveAccess(name)
}
