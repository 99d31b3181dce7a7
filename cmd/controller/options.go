package main

import (
	"flag"
	"io"

	"github.com/kube-connector/kube-connector/internal/settings"
	"github.com/kube-connector/kube-connector/internal/setup"
)

// options are what the command line and the settings say.
type options struct {
	leaderElect     bool
	metricsAddress  string
	healthAddress   string
	systemNamespace string
	logLevel        setup.LogLevel
}

// parseOptions reads the flags and the settings. Errors of the command line are
// flag.ErrHelp or program.ErrUsage.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "let only one of several replicas work, by a Lease in the system namespace")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served, 0 for nowhere")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served, 0 for nowhere")
	flags.StringVar(&o.systemNamespace, "system-namespace", "connectors-system", "the namespace of the Lease and of the certificates for every Connector")
	setup.LogLevelFlag(flags, &o.logLevel)
	if err := settings.Parse(flags, args, stderr, "Checks Connectors and says in their status whether they work."); err != nil {
		return options{}, err
	}
	return o, nil
}
