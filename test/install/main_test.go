// Package install tests how the product comes into a real cluster, how it changes
// there, and that nothing stays when it goes. The cluster is empty between tests.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kube-connector/kube-connector/build/product"
	"github.com/kube-connector/kube-connector/test/cluster"
)

const (
	root = "../.."
	// before is the tag of the images in testdata/before.yaml.
	before = "dev"

	patience = 2 * time.Minute
	interval = 200 * time.Millisecond
)

var (
	clusters *cluster.Cluster
	// version is that of the source tree; helm and chart are what it is installed
	// with and from.
	version, helm, chart string
)

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		code = 1
	}
	os.Exit(code)
}

// run brings the clusters up with the images in them and nothing else, runs the
// tests, and takes the clusters down whatever happens.
func run(ctx context.Context, m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "kube-connector-install-*")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := buildTools(ctx, dir); err != nil {
		return 1, err
	}
	clusters, err = cluster.Up(ctx, cluster.Config{Name: "install", Progress: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, clusters.Down(context.WithoutCancel(ctx))) }()
	for _, tag := range []string{version, before} {
		if err := clusters.LoadProduct(ctx, tag); err != nil {
			return 1, err
		}
	}
	done := make(chan int, 1)
	go func() { done <- m.Run() }()
	select {
	case code = <-done:
		return code, nil
	case <-ctx.Done():
		return 1, errors.New("interrupted")
	}
}

// buildTools has Helm built, and packages the chart.
func buildTools(ctx context.Context, dir string) (err error) {
	if version, err = product.Version(root); err != nil {
		return err
	}
	if helm, err = cluster.Helm(ctx, os.Stderr); err != nil {
		return err
	}
	chart = filepath.Join(dir, "chart.tgz")
	absolute, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	args := []string{"-C", filepath.Join(root, "tools/dist"), "run", ".", "-root", absolute, "-package", chart}
	if output, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

// command runs a program and returns what it prints on standard output.
func command(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// kubectl runs kubectl on home.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := tryKubectl(t, args...)
	require.NoError(t, err)
	return output
}

func tryKubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return command(t.Context(), "", clusters.Kubectl, append([]string{"--kubeconfig", clusters.Home.Kubeconfig}, args...)...)
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	_, err := command(t.Context(), manifest, clusters.Kubectl, "--kubeconfig", clusters.Home.Kubeconfig, "apply", "-f", "-")
	require.NoError(t, err)
}

// makeTarget runs a target of the Makefile on home, as a person would.
func makeTarget(t *testing.T, target string) {
	t.Helper()
	began := time.Now()
	_, err := command(t.Context(), "", "make", "-C", root, target, "KUBECTL="+clusters.Kubectl+" --kubeconfig "+clusters.Home.Kubeconfig)
	require.NoError(t, err)
	t.Logf("make %s took %s", target, time.Since(began).Round(100*time.Millisecond))
}

// helmRun runs Helm on home.
func helmRun(t *testing.T, args ...string) string {
	t.Helper()
	output, err := tryHelm(t, args...)
	require.NoError(t, err)
	return output
}

func tryHelm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return command(t.Context(), "", helm, append([]string{"--kubeconfig", clusters.Home.Kubeconfig, "--namespace", "connectors-system"}, args...)...)
}

func eventually(t *testing.T, condition func() bool, message string, args ...any) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	require.NoError(t, err, append([]any{message}, args...)...)
}
