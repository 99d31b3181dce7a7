package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kube-connector/kube-connector/internal/setup"
	"github.com/kube-connector/kube-connector/internal/version"
	"github.com/kube-connector/kube-connector/pkg/controller"
)

// leaseName is the name of the Lease that the leader holds.
const leaseName = "connector-controller"

// run runs the controller until ctx ends, or prints the version.
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
	if err := setup.BuildInfo("controller"); err != nil {
		return err
	}
	cluster, err := setup.Cluster(ctx, o.healthAddress)
	if err != nil {
		return err
	}
	return serve(ctx, cluster, o)
}

// serve runs the controller on a cluster until ctx ends.
func serve(ctx context.Context, cluster *rest.Config, o options) error {
	// No limit here: at a start each of thousands of Connectors is worth some
	// requests, and at client-go's default rate of 5 a second that takes hours. The
	// API server's own fairness between clients bounds it, and how many Connectors
	// are looked at at once. In steady state there are next to none.
	cluster.QPS = -1
	managerOptions, err := controller.ManagerOptions(o.systemNamespace)
	if err != nil {
		return err
	}
	if len(o.namespaces) > 0 {
		controller.LimitTo(&managerOptions, o.namespaces)
	}
	managerOptions.Metrics = metricsserver.Options{BindAddress: o.metricsAddress}
	managerOptions.HealthProbeBindAddress = o.healthAddress
	managerOptions.LeaderElection = o.leaderElect
	managerOptions.LeaderElectionID = leaseName
	managerOptions.LeaderElectionNamespace = o.systemNamespace
	// Safe, because the process ends right after the manager.
	managerOptions.LeaderElectionReleaseOnCancel = true
	mgr, err := ctrl.NewManager(cluster, managerOptions)
	if err != nil {
		return fmt.Errorf("preparing the controller: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	// Of a replica that does not lead, too: it can take over at once.
	if err := mgr.AddReadyzCheck("caches", synced(mgr.GetCache())); err != nil {
		return err
	}
	if err := controller.Add(ctx, mgr, controller.Options{
		SystemNamespace: o.systemNamespace,
		Schedule:        o.schedule(),
		Probes:          o.probes,
	}); err != nil {
		return err
	}
	collector := controller.NewCollector(mgr.GetCache())
	if err := metrics.Registry.Register(collector); err != nil {
		return fmt.Errorf("adding the metrics about Connectors: %w", err)
	}
	defer metrics.Registry.Unregister(collector)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controller: %w", err)
	}
	return nil
}

// synced is the readiness of a replica: it knows what is in the cluster.
func synced(informers cache.Cache) healthz.Checker {
	return func(req *http.Request) error {
		// Sooner than the kubelet gives up, which would not see why.
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !informers.WaitForCacheSync(ctx) {
			return errors.New("the caches are not synced; can the API server be reached, and does RBAC allow to list and watch?")
		}
		return nil
	}
}
