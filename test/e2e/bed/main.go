// Package bed is what tests on the real clusters stand on: the clusters, brought up
// with the product installed, and namespaces, Connectors, Pods and what they print.
package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// The clusters that all tests of a package share, as a cluster admin sees them.
// Every test has namespaces of its own in both. Main sets them.
var (
	Clusters *cluster.Cluster
	Home     client.WithWatch
	Target   client.WithWatch
	HomeSet  kubernetes.Interface
)

// Main is the TestMain of a package: it brings the clusters up, runs the tests, and
// takes the clusters down whatever happens. What needs a network of the machine's
// own is for before, which runs before the clusters are up: their networks may be in
// the way of a mirror's. Both functions may be nil.
func Main(m *testing.M, before func(context.Context) error, ready func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m, before, ready)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, m *testing.M, before, ready func(context.Context) error) (code int, err error) {
	if before != nil {
		if err := before(ctx); err != nil {
			return 1, err
		}
	}
	Clusters, err = cluster.Up(ctx, cluster.Config{Name: "test", Progress: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, Clusters.Down(context.WithoutCancel(ctx))) }()
	if err := Clusters.Install(ctx); err != nil {
		return 1, err
	}
	if err := connect(); err != nil {
		return 1, err
	}
	if ready != nil {
		if err := ready(ctx); err != nil {
			return 1, err
		}
	}
	done := make(chan int, 1)
	go func() { done <- m.Run() }()
	select {
	case code = <-done:
		return code, nothingForbidden()
	case <-ctx.Done():
		return 1, errors.New("interrupted")
	}
}

// nothingForbidden checks that in all that the tests did the product never lacked
// a right. That it has none too many is shown in test/install.
func nothingForbidden() error {
	requests, err := Clusters.Requests()
	for _, r := range requests {
		if r.Denied {
			err = errors.Join(err, fmt.Errorf("%s may not %s %s; its role must allow it", r.Account, r.Verb, r.URI))
		}
	}
	return err
}

func connect() error {
	var errs [3]error
	Home, errs[0] = Client(Clusters.Home.RESTConfig())
	Target, errs[1] = Client(Clusters.Target.RESTConfig())
	HomeSet, errs[2] = kubernetes.NewForConfig(Clusters.Home.RESTConfig())
	return errors.Join(errs[:]...)
}

// Client is a client that knows Kubernetes' kinds and ours.
func Client(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}
