package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/go-logr/logr"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kube-connector/kube-connector/pkg/controller"
)

// leaseName is the name of the Lease that the leader holds.
const leaseName = "connector-controller"

// oldestVersion is the oldest Kubernetes that sidecars can be injected on.
var oldestVersion = utilversion.MustParseGeneric("1.30.0")

// run runs the controller until ctx ends, or prints the version.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "version" {
		_, err := fmt.Fprintln(stdout, version())
		return err
	}
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	logger := logr.FromSlogHandler(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: o.logLevel}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	cluster, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w; run it in a Pod or set KUBECONFIG", err)
	}
	return serve(ctx, cluster, o)
}

// serve runs the controller on a cluster until ctx ends.
func serve(ctx context.Context, cluster *rest.Config, o options) error {
	if err := checkVersion(cluster); err != nil {
		return err
	}
	managerOptions, err := controller.ManagerOptions()
	if err != nil {
		return err
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
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := controller.Add(ctx, mgr, controller.Options{
		SystemNamespace: o.systemNamespace,
		Schedule:        controller.DefaultSchedule(),
	}); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controller: %w", err)
	}
	return nil
}

// checkVersion refuses clusters that sidecars cannot be injected on, before
// people build on it.
func checkVersion(cluster *rest.Config) error {
	discoverer, err := discovery.NewDiscoveryClientForConfig(cluster)
	if err != nil {
		return err
	}
	info, err := discoverer.ServerVersion()
	if err != nil {
		return fmt.Errorf("asking the API server for its version: %w", err)
	}
	got, err := utilversion.ParseGeneric(info.GitVersion)
	if err != nil {
		return fmt.Errorf("the API server says its version is %q: %w", info.GitVersion, err)
	}
	if got.LessThan(oldestVersion) {
		return fmt.Errorf("the cluster runs Kubernetes %s; at least 1.30 is needed, for native sidecars: upgrade the cluster", info.GitVersion)
	}
	return nil
}

// version is the version of the module that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
