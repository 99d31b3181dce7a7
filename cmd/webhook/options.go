package main

import (
	"flag"
	"io"
	"time"

	"github.com/kube-connector/kube-connector/internal/settings"
	"github.com/kube-connector/kube-connector/internal/setup"
	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// options are what the command line and the settings say.
type options struct {
	webhook  webhook.Config
	logLevel setup.LogLevel
}

// drain is how long nodes may send the webhook Pods after it was told to end: until
// each has learned of that.
const drain = 5 * time.Second

// parseOptions reads the flags and the settings. Errors of the command line are
// flag.ErrHelp or program.ErrUsage.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{webhook: webhook.Config{Drain: drain}}
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	flags.StringVar(&o.webhook.Inject.Image, "sidecar-image", "", "the image of the sidecar that is injected (required)")
	flags.Func("sidecar-cpu-limit", "the CPU limit of every sidecar, as a `quantity`, for namespaces with a quota on CPU limits (default: one only where the Pod's own containers have one)", func(s string) error {
		var err error
		o.webhook.Inject.CPULimit, err = inject.ParseCPULimit(s)
		return err
	})
	flags.StringVar(&o.webhook.Inject.ImagePullSecret, "image-pull-secret", "", "the `name` of a Secret, in the Pod's namespace, to pull the sidecar's image with; added to Pods that lack it")
	flags.Func("sidecar-metrics-port", "the `port` on which every sidecar serves its metrics, to everybody who can reach the Pod; 0 for none (default 0)", func(s string) error {
		var err error
		o.webhook.Inject.MetricsPort, err = inject.ParseMetricsPort(s)
		return err
	})
	flags.StringVar(&o.webhook.Namespace, "system-namespace", "connectors-system", "the namespace that the webhook runs in and keeps its CA in")
	flags.StringVar(&o.webhook.CertificateDir, "certificate-dir", "", "a `directory` with tls.crt and tls.key to serve with, as cert-manager makes them, and whose CA it keeps in the webhook configuration (default: the webhook makes its own CA and keeps it there)")
	flags.IntVar(&o.webhook.Port, "port", 9443, "the port on which admission is served over TLS")
	flags.StringVar(&o.webhook.MetricsAddress, "metrics-bind-address", ":8080", "where metrics are served, 0 for nowhere")
	flags.StringVar(&o.webhook.HealthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served, 0 for nowhere")
	setup.LogLevelFlag(flags, &o.logLevel)
	if err := settings.Parse(flags, args, stderr, "Injects the sidecar into Pods that name Connectors."); err != nil {
		return options{}, err
	}
	if o.webhook.Inject.Image == "" {
		return options{}, settings.Wrong(flags, "flag -sidecar-image is missing; name the image of the sidecar")
	}
	return o, nil
}
