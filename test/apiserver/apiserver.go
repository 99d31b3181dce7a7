// Package apiserver starts real API servers for tests: etcd and kube-apiserver
// with the CRDs of config/crd, without controllers and without nodes. They take
// RBAC seriously, so tests can be users that may not do everything.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// startTimeout is long, because tests of many packages start at once.
const startTimeout = 2 * time.Minute

// Server is a running API server with an etcd of its own.
type Server struct {
	// Config is that of an administrator.
	Config *rest.Config

	environment *envtest.Environment
}

// Run starts an API server. The caller, mostly a TestMain, stops it. Flags are
// further ones of kube-apiserver, as in name=value.
func Run(flags ...string) (*Server, error) {
	crds, err := find(filepath.Join("config", "crd"))
	if err != nil {
		return nil, err
	}
	programs, err := binaries()
	if err != nil {
		return nil, err
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory:    programs,
		CRDDirectoryPaths:        []string{crds},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		environment.ControlPlane.GetAPIServer().Configure().Set(name, value)
	}
	config, err := environment.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting an API server: %w", err), environment.Stop())
	}
	return &Server{Config: config, environment: environment}, nil
}

// Stop stops the API server.
func (s *Server) Stop() error { return s.environment.Stop() }

// Start starts an API server that is stopped when the test ends, and returns
// the access of an administrator.
func Start(tb testing.TB) *rest.Config {
	tb.Helper()
	server, err := Run()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Errorf("stopping the API server: %v", err)
		}
	})
	return server.Config
}

// binaries is where the programs are: where KUBEBUILDER_ASSETS says, as
// everywhere with envtest, or else where they are built if need be.
func binaries() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	return cluster.Binaries(context.Background(), os.Stderr)
}

// find finds a directory of the source tree from the working directory of a
// test, which is that of its package.
func find(path string) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, path)
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no %s above %s; run the test in the source tree", path, start)
		}
	}
}
