package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kube-connector/kube-connector/internal/settings"
	"github.com/kube-connector/kube-connector/internal/setup"
	"github.com/kube-connector/kube-connector/pkg/controller"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// options are what the command line and the settings say.
type options struct {
	leaderElect     bool
	metricsAddress  string
	healthAddress   string
	systemNamespace string
	namespaces      []string
	logLevel        setup.LogLevel
	probePeriod     time.Duration
	probes          controller.ProbeOptions
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
	flags.Func("namespaces", "the only namespaces whose Connectors are looked at, comma separated; without it those of all are", func(list string) error {
		o.namespaces = nil
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				return fmt.Errorf("%q is no name of a namespace; write them as team-a,team-b", name)
			}
			o.namespaces = append(o.namespaces, name)
		}
		return nil
	})
	setup.LogLevelFlag(flags, &o.logLevel)
	flags.DurationVar(&o.probePeriod, "probe-period", controller.DefaultSchedule().Ready, "how often the target of a Connector that is ready is probed; of one that is not, more often")
	flags.DurationVar(&o.probes.Timeout, "probe-timeout", probe.DefaultTimeout, "how long one request of a probe may take, from the connection to the end of the answer")
	flags.IntVar(&o.probes.Max, "max-probes", controller.DefaultMaxProbes, "how many probes are in flight at once; one target gets an eighth of them, those that are slow get half in all, and of that half one namespace gets half")
	flags.BoolVar(&o.probes.ProxyFromEnvironment, "probe-proxy-from-environment", false, "probe by the proxy that HTTPS_PROXY names, except for what NO_PROXY names; the TLS goes through it from end to end")
	if err := settings.Parse(flags, args, stderr, "Checks Connectors and says in their status whether they work."); err != nil {
		return options{}, err
	}
	return o, o.check()
}

// check is about values that each flag by itself takes.
func (o *options) check() error {
	switch {
	case o.probePeriod < time.Second:
		return fmt.Errorf("--probe-period is %s; it must be 1s or more", o.probePeriod)
	case o.probes.Timeout < 100*time.Millisecond || o.probes.Timeout > time.Minute:
		return fmt.Errorf("--probe-timeout is %s; it must be from 100ms to 1m", o.probes.Timeout)
	case o.probes.Max < 1 || o.probes.Max > 10_000:
		return fmt.Errorf("--max-probes is %d; it must be from 1 to 10000", o.probes.Max)
	}
	return nil
}

// schedule is the usual one with the period that was asked for, which is also the
// longest.
func (o *options) schedule() controller.Schedule {
	s := controller.DefaultSchedule()
	s.Ready = o.probePeriod
	s.Failed = min(s.Failed, s.Ready)
	s.Failing = min(s.Failing, s.Ready)
	return s
}
