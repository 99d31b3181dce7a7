package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/kube-connector/kube-connector/internal/program"
)

// options are what the command line says.
type options struct {
	leaderElect     bool
	metricsAddress  string
	healthAddress   string
	systemNamespace string
	logLevel        slog.Level
}

// parseOptions reads the flags. Errors are flag.ErrHelp or program.ErrUsage.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: controller [flags]\n       controller version\n\nChecks Connectors and says in their status whether they work.\n\n")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "let only one of several replicas work, by a Lease in the system namespace")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served, 0 for nowhere")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served, 0 for nowhere")
	flags.StringVar(&o.systemNamespace, "system-namespace", "connectors-system", "the namespace of the Lease and of the certificates for every Connector")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "the least level that is logged: DEBUG, INFO, WARN or ERROR")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return options{}, err
		}
		return options{}, program.ErrUsage
	}
	if o.logLevel < slog.LevelDebug {
		// Below it client-go logs what it reads, Secrets included.
		fmt.Fprintf(stderr, "invalid value %q for flag -log-level: DEBUG is the least\n", o.logLevel)
		return options{}, program.ErrUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q\n", flags.Arg(0))
		flags.Usage()
		return options{}, program.ErrUsage
	}
	return o, nil
}
