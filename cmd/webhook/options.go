package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/kube-connector/kube-connector/internal/program"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// options are what the command line says.
type options struct {
	webhook  webhook.Config
	logLevel slog.Level
}

// parseOptions reads the flags. Errors are flag.ErrHelp or program.ErrUsage.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: webhook [flags]\n       webhook version\n\nInjects the sidecar into Pods that name Connectors.\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.webhook.Inject.Image, "sidecar-image", "", "the image of the sidecar that is injected (required)")
	flags.StringVar(&o.webhook.Namespace, "system-namespace", "connectors-system", "the namespace that the webhook runs in and keeps its CA in")
	flags.IntVar(&o.webhook.Port, "port", 9443, "the port on which admission is served over TLS")
	flags.StringVar(&o.webhook.MetricsAddress, "metrics-bind-address", ":8080", "where metrics are served, 0 for nowhere")
	flags.StringVar(&o.webhook.HealthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served, 0 for nowhere")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "the least level that is logged: DEBUG, INFO, WARN or ERROR")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return options{}, err
		}
		return options{}, program.ErrUsage
	}
	wrong := ""
	switch {
	case flags.NArg() > 0:
		wrong = fmt.Sprintf("unexpected argument %q", flags.Arg(0))
	case o.webhook.Inject.Image == "":
		wrong = "flag -sidecar-image is missing; name the image of the sidecar"
	case o.logLevel < slog.LevelDebug:
		// Below it client-go logs what it reads, the CA's Secret included.
		wrong = fmt.Sprintf("invalid value %q for flag -log-level: DEBUG is the least", o.logLevel)
	}
	if wrong != "" {
		fmt.Fprintln(stderr, wrong)
		flags.Usage()
		return options{}, program.ErrUsage
	}
	return o, nil
}
