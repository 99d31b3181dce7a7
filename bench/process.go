package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const processRuns = 20

// processFigures are those of the sidecar as a process of its own.
type processFigures struct {
	rss       []int // bytes
	listening []time.Duration
	binary    int64 // bytes
}

// measureProcess builds the sidecar as the image has it, and starts it several
// times.
func measureProcess(ctx context.Context, progress io.Writer) (processFigures, error) {
	var f processFigures
	dir, err := os.MkdirTemp("", "kube-connector-bench-")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "sidecar")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return f, fmt.Errorf("building the sidecar: %w: %s", err, output)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return f, err
	}
	f.binary = info.Size()
	fmt.Fprintf(progress, "starting the sidecar %d times\n", processRuns)
	for i := range processRuns {
		listening, rss, err := startOnce(ctx, binary, filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return f, err
		}
		f.listening = append(f.listening, listening)
		f.rss = append(f.rss, rss)
	}
	return f, nil
}

// startOnce starts the sidecar, with a token and nothing made before, as in a
// new Pod.
func startOnce(ctx context.Context, binary, dir string) (listening time.Duration, rss int, err error) {
	credentials := filepath.Join(dir, "credentials", "bench", "k8s")
	for _, d := range []string{credentials, filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return 0, 0, err
		}
	}
	if err := os.WriteFile(filepath.Join(credentials, "token"), []byte("token"), 0o600); err != nil {
		return 0, 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, 0, err
	}
	localhostPort, err := freePort()
	if err != nil {
		return 0, 0, err
	}
	command := exec.CommandContext(ctx, binary, "run",
		"--connector=bench/k8s=https://192.0.2.1:6443",
		"--credentials-dir="+filepath.Join(dir, "credentials"),
		"--state-dir="+filepath.Join(dir, "state"),
		"--kubeconfig="+filepath.Join(dir, "kubeconfig", "kubeconfig"),
		"--proxy-port="+port,
		"--localhost-port="+localhostPort)
	// As injection sets it.
	command.Env = []string{"GOMEMLIMIT=48MiB"}
	var stderr strings.Builder
	command.Stderr = &stderr
	began := time.Now()
	if err := command.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			listening = time.Since(began)
			_ = conn.Close()
			break
		}
		if time.Since(began) > 10*time.Second {
			return 0, 0, fmt.Errorf("the sidecar does not listen: %s", stderr.String())
		}
	}
	rss, err = settledRSS(ctx, command.Process.Pid)
	return listening, rss, err
}

// settledRSS is the resident memory once it has not changed for a second.
func settledRSS(ctx context.Context, pid int) (int, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, same := 0, 0
	for same < 10 {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
		rss, err := residentMemory(pid)
		if err != nil {
			return 0, err
		}
		if rss == last {
			same++
		} else {
			last, same = rss, 0
		}
	}
	return last, nil
}

// residentMemory is VmRSS of /proc/PID/status, in bytes (proc_pid_status(5)).
func residentMemory(pid int) (int, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(value, "kB")))
			return kilobytes * 1024, err
		}
	}
	return 0, errors.Join(errors.New("the process has no VmRSS"), lines.Err())
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
