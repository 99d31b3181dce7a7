package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// stateDir is where everything lies that outlives a restart of the container
// and that no other container may see.
const stateDir = "/var/run/connector-proxy/state"

// options are the flags of run.
type options struct {
	connectors     connectorsFlag
	credentialsDir string
	unsealed       bool
	stateDir       string
	kubeconfig     string
	proxyPort      uint
	logLevel       slog.Level
	drainTimeout   time.Duration
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("sidecar run", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&o.connectors, "connector", "a connector to serve, as `namespace/name=address`; repeatable, the first is the current context")
	flags.StringVar(&o.credentialsDir, "credentials-dir", "/var/run/connector-proxy/credentials", "where <namespace>/<name>/{token,ca.crt,address,seal} are")
	flags.BoolVar(&o.unsealed, "unsealed", false, "take ca.crt and address without a seal: outside of Pods, where only the owner of the token can write them")
	flags.StringVar(&o.stateDir, "state-dir", stateDir, "where the CA and the temporary token are kept; for nobody else to see")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "/var/run/connector-proxy/kubeconfig/kubeconfig", "the kubeconfig to write")
	flags.UintVar(&o.proxyPort, "proxy-port", 17443, "the port on localhost that takes CONNECT")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.DurationVar(&o.drainTimeout, "drain-timeout", 20*time.Second, "how long requests may take to finish after SIGTERM")
	if err := parse(flags, args); err != nil {
		return options{}, err
	}
	switch {
	case len(o.connectors) == 0:
		return options{}, fmt.Errorf("no connector: give --connector=<namespace>/<name>=<address> at least once")
	case o.proxyPort == 0 || o.proxyPort > 65535:
		return options{}, fmt.Errorf("--proxy-port=%d: must be from 1 to 65535", o.proxyPort)
	case o.drainTimeout <= 0 || o.drainTimeout > time.Hour:
		return options{}, fmt.Errorf("--drain-timeout=%s: must be above 0 and at most 1h", o.drainTimeout)
	}
	return o, nil
}

// connectorFlag is the value of one --connector.
type connectorFlag struct {
	reference connector.Reference
	address   connector.Address
}

// connectorsFlag is the flag.Value of --connector.
type connectorsFlag []connectorFlag

// String implements flag.Value.
func (f *connectorsFlag) String() string { return "" }

// Set implements flag.Value.
func (f *connectorsFlag) Set(s string) error {
	name, url, found := strings.Cut(s, "=")
	if !found {
		return fmt.Errorf("must be <namespace>/<name>=<address>")
	}
	reference, err := connector.ParseReference(name, "")
	if err != nil {
		return err
	}
	address, err := connector.ParseAddress(url)
	if err != nil {
		return err
	}
	*f = append(*f, connectorFlag{reference, address})
	return nil
}
