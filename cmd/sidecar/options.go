package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

// stateDir is where everything lies that outlives a restart of the container
// and that no other container may see.
const stateDir = "/var/run/connector-proxy/state"

// defaultKubeconfig is the one that is written if no other is asked for.
const defaultKubeconfig = "/var/run/connector-proxy/kubeconfig/kubeconfig"

// defaultInClusterDir is where in-cluster clients have their files from.
const defaultInClusterDir = "/var/run/connector-proxy/in-cluster"

// options are the flags of run.
type options struct {
	connectors     connectorsFlag
	credentialsDir string
	unsealed       bool
	stateDir       string
	kubeconfigs    kubeconfigsFlag
	kubeconfigMode kubeconfig.Mode
	proxyPort      uint
	localhostPort  uint
	inClusterPort  uint
	inClusterDir   string
	metricsPort    uint
	logLevel       slog.Level
	drainTimeout   time.Duration
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("sidecar run", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&o.connectors, "connector", "a connector to serve, as `namespace/name=address`; repeatable, the first is the current context. The address is what clients ask for; where requests go, the file address says")
	flags.StringVar(&o.credentialsDir, "credentials-dir", "/var/run/connector-proxy/credentials", "where <namespace>/<name>/{token,ca.crt,address,seal} are")
	flags.BoolVar(&o.unsealed, "unsealed", false, "take ca.crt and address without a seal, and without an address that of --connector: outside of Pods, where only the owner of the token can write them")
	flags.StringVar(&o.stateDir, "state-dir", stateDir, "where the CA and the temporary token are kept; for nobody else to see")
	flags.Var(&o.kubeconfigs, "kubeconfig", "a kubeconfig to write, as `path[=namespace/name,...]`: of all connectors or of those, the first is the current context; repeatable (default "+defaultKubeconfig+")")
	flags.TextVar(&o.kubeconfigMode, "kubeconfig-mode", kubeconfig.ModeProxy, "which contexts are current: proxy or localhost, for clients that ignore proxy-url")
	flags.UintVar(&o.proxyPort, "proxy-port", 17443, "the port on localhost that takes CONNECT")
	flags.UintVar(&o.localhostPort, "localhost-port", 17444, "the port on localhost that takes requests")
	flags.UintVar(&o.inClusterPort, "in-cluster-port", 0, "the port on localhost that is the API server of clients that use no kubeconfig, for one connector; 0 for none")
	flags.StringVar(&o.inClusterDir, "in-cluster-dir", defaultInClusterDir, "where clients that use no kubeconfig find token, ca.crt and namespace, with --in-cluster-port")
	flags.UintVar(&o.metricsPort, "metrics-port", 0, "the port, on all addresses, that serves metrics to everybody over HTTP; 0 for none")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.DurationVar(&o.drainTimeout, "drain-timeout", 20*time.Second, "how long requests may take to finish after SIGTERM")
	if err := parse(flags, args); err != nil {
		return options{}, err
	}
	if len(o.kubeconfigs) == 0 {
		o.kubeconfigs = kubeconfigsFlag{{path: defaultKubeconfig}}
	}
	return o, o.check()
}

// check is what no single flag can tell.
func (o *options) check() error {
	switch {
	case o.unsealed && inPod():
		return errors.New("--unsealed: is for outside of Pods; in a Pod whoever made it would say where the token goes")
	case len(o.connectors) == 0:
		return errors.New("no connector: give --connector=<namespace>/<name>=<address> at least once")
	case o.proxyPort == 0 || o.proxyPort > 65535:
		return fmt.Errorf("--proxy-port=%d: must be from 1 to 65535", o.proxyPort)
	case o.localhostPort == 0 || o.localhostPort > 65535:
		return fmt.Errorf("--localhost-port=%d: must be from 1 to 65535", o.localhostPort)
	case o.localhostPort == o.proxyPort:
		return fmt.Errorf("--localhost-port=%d: is --proxy-port, too; give each its own", o.localhostPort)
	case o.metricsPort > 65535:
		return fmt.Errorf("--metrics-port=%d: must be from 1 to 65535, or 0 for none", o.metricsPort)
	case o.metricsPort == o.proxyPort || o.metricsPort == o.localhostPort:
		return fmt.Errorf("--metrics-port=%d: is --proxy-port or --localhost-port, too; give each its own", o.metricsPort)
	case o.drainTimeout <= 0 || o.drainTimeout > time.Hour:
		return fmt.Errorf("--drain-timeout=%s: must be above 0 and at most 1h", o.drainTimeout)
	}
	if err := o.checkInCluster(); err != nil {
		return err
	}
	for _, k := range o.kubeconfigs {
		if !isDir(filepath.Dir(k.path)) {
			return fmt.Errorf("--kubeconfig=%s: %s is not a directory; make it, or mount a volume there", k.path, filepath.Dir(k.path))
		}
		for _, ref := range k.references {
			if !slices.ContainsFunc(o.connectors, func(c connectorFlag) bool { return c.reference == ref }) {
				return fmt.Errorf("--kubeconfig=%s: connector %s is not served; add --connector=%s=<address>", k.path, ref, ref)
			}
		}
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// entries are the connectors of a kubeconfig: those of references, or all.
func (o *options) entries(references []connector.Reference) []kubeconfig.Entry {
	var entries []kubeconfig.Entry
	if references == nil {
		for _, c := range o.connectors {
			entries = append(entries, kubeconfig.Entry{Connector: c.reference, Address: c.address})
		}
	}
	for _, ref := range references {
		i := slices.IndexFunc(o.connectors, func(c connectorFlag) bool { return c.reference == ref })
		entries = append(entries, kubeconfig.Entry{Connector: ref, Address: o.connectors[i].address})
	}
	return entries
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

// kubeconfigFlag is the value of one --kubeconfig.
type kubeconfigFlag struct {
	path       string
	references []connector.Reference // nil for all
}

// kubeconfigsFlag is the flag.Value of --kubeconfig.
type kubeconfigsFlag []kubeconfigFlag

// String implements flag.Value.
func (f *kubeconfigsFlag) String() string { return "" }

// Set implements flag.Value.
func (f *kubeconfigsFlag) Set(s string) error {
	path, list, some := strings.Cut(s, "=")
	if path == "" || strings.HasSuffix(path, "/") {
		return errors.New("must be <path of a file>[=<namespace>/<name>,...]")
	}
	k := kubeconfigFlag{path: filepath.Clean(path)}
	if some {
		var err error
		if k.references, err = connector.ParseReferences(list, ""); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(*f, func(other kubeconfigFlag) bool { return other.path == k.path }) {
		return fmt.Errorf("%s is given twice; name all its connectors at once", k.path)
	}
	*f = append(*f, k)
	return nil
}
