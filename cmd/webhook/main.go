// Command webhook serves the admission of Pods: it injects the sidecar and the
// kubeconfig into those that name Connectors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var c webhook.Config
	flags.StringVar(&c.Namespace, "namespace", "connectors-system", "the namespace that the webhook runs in and keeps its CA in")
	flags.IntVar(&c.Port, "port", 9443, "the port on which admission is served over TLS")
	flags.StringVar(&c.MetricsAddress, "metrics-bind-address", ":8080", `host:port of the metrics, or "0" for none`)
	flags.StringVar(&c.HealthAddress, "health-probe-bind-address", ":8081", "host:port of /healthz and /readyz")
	flags.StringVar(&c.Inject.Image, "sidecar-image", "", "the image of the sidecar that is injected (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see webhook -help", flags.Arg(0))
	}
	if c.Inject == (inject.Options{}) {
		return errors.New("-sidecar-image is missing; name the image of the sidecar")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server; run in a Pod, or set KUBECONFIG: %w", err)
	}
	mgr, err := webhook.NewManager(ctx, config, c)
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
