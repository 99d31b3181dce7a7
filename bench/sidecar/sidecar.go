// Package sidecar runs the sidecar as a program of this machine, set up as
// injection does.
package sidecar

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kube-connector/kube-connector/bench/proc"
)

// Connector is the one that it serves.
const Connector = "bench/k8s"

// Sidecar is a sidecar that runs.
type Sidecar struct {
	*proc.Process
	// Kubeconfig is the path of the one that it writes.
	Kubeconfig string
	// Listening is how long after its start it listened.
	Listening time.Duration

	binary, state string
}

// Build builds the sidecar into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	return proc.Build(ctx, dir, "cmd/sidecar")
}

// Start starts the sidecar for the cluster at address, with nothing made before,
// as in a new Pod. dir is not there yet; its path has to be short, since a
// socket is made below it.
func Start(ctx context.Context, binary, dir, address, token string, ca []byte) (*Sidecar, error) {
	credentials := filepath.Join(dir, "credentials", Connector)
	for _, d := range []string{credentials, filepath.Join(dir, "state")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(credentials, "token"), []byte(token), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(credentials, "ca.crt"), ca, 0o600); err != nil {
		return nil, err
	}
	var ports, addresses [2]string
	for i := range ports {
		var err error
		if addresses[i], err = proc.FreeAddress(); err != nil {
			return nil, err
		}
		if _, ports[i], err = net.SplitHostPort(addresses[i]); err != nil {
			return nil, err
		}
	}
	s := &Sidecar{Kubeconfig: filepath.Join(dir, "kubeconfig"), binary: binary, state: filepath.Join(dir, "state")}
	var err error
	s.Process, err = proc.Start(ctx, []string{"GOMEMLIMIT=48MiB", "GOMAXPROCS=1"}, binary, "run", "--unsealed",
		"--connector="+Connector+"="+address,
		"--credentials-dir="+filepath.Join(dir, "credentials"),
		"--state-dir="+s.state,
		"--kubeconfig="+s.Kubeconfig,
		"--proxy-port="+ports[0],
		"--localhost-port="+ports[1])
	if err != nil {
		return nil, err
	}
	if s.Listening, err = s.AwaitListening(addresses[0]); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Await returns when the kubeconfig is written, as the gate of a Pod does.
func (s *Sidecar) Await(ctx context.Context) error {
	output, err := exec.CommandContext(ctx, s.binary, "wait", "--state-dir="+s.state).CombinedOutput()
	if err != nil {
		return fmt.Errorf("waiting for the sidecar: %w: %s", err, output)
	}
	return nil
}
