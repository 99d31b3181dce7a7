package main

import (
	"context"
	"fmt"
	"io"

	"github.com/kube-connector/kube-connector/internal/setup"
	"github.com/kube-connector/kube-connector/internal/version"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// run serves admission until ctx ends, or prints the version.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "version" {
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	}
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	setup.Logs(stderr, o.logLevel)
	if err := setup.BuildInfo("webhook"); err != nil {
		return err
	}
	cluster, err := setup.Cluster(ctx, o.webhook.HealthAddress)
	if err != nil {
		return err
	}
	mgr, err := webhook.NewManager(ctx, cluster, o.webhook)
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
