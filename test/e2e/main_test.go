// Package e2e tests the product as its users have it: installed on a real
// cluster with a real node, pointed at a second real cluster.
package e2e

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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// The clusters that all tests of this package share, as a cluster admin sees
// them. Every test has namespaces of its own in both.
var (
	clusters     *cluster.Cluster
	home, target client.WithWatch
	homeSet      kubernetes.Interface
)

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run brings the clusters up, runs the tests, and takes the clusters down
// whatever happens.
func run(ctx context.Context, m *testing.M) (code int, err error) {
	// Before the clusters are up: their networks may be in the way of a mirror's.
	if err := installClients(ctx); err != nil {
		return 1, err
	}
	clusters, err = cluster.Up(ctx, cluster.Config{Name: "test", Progress: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, clusters.Down(context.WithoutCancel(ctx))) }()
	if err := clusters.Install(ctx); err != nil {
		return 1, err
	}
	if err := connect(); err != nil {
		return 1, err
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
	requests, err := clusters.Requests()
	for _, r := range requests {
		if r.Denied {
			err = errors.Join(err, fmt.Errorf("%s may not %s %s; its role must allow it", r.Account, r.Verb, r.URI))
		}
	}
	return err
}

func connect() error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	var errs [3]error
	home, errs[0] = client.NewWithWatch(clusters.Home.RESTConfig(), client.Options{Scheme: scheme})
	target, errs[1] = client.NewWithWatch(clusters.Target.RESTConfig(), client.Options{Scheme: scheme})
	homeSet, errs[2] = kubernetes.NewForConfig(clusters.Home.RESTConfig())
	return errors.Join(errs[:]...)
}
