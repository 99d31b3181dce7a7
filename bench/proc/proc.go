// Package proc builds and starts programs and looks at what they use.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 5 * time.Second
)

// Build builds a program of this module, as the images have it, into a
// directory and returns its path.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	binary := filepath.Join(dir, path.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary,
		path.Join("github.com/kube-connector/kube-connector", pkg))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", pkg, err, output)
	}
	return binary, nil
}

// Process is a program that Start has started.
type Process struct {
	// PID is its process ID.
	PID int

	name  string
	began time.Time
	log   bytes.Buffer // to be read after ended is closed
	stop  context.CancelFunc
	ended chan struct{}
}

// Start starts a program with no environment but the given one: a proxy of the
// caller's, for one, would lead it astray. It ends with Stop or with ctx.
func Start(ctx context.Context, env []string, program string, args ...string) (*Process, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &Process{name: filepath.Base(program), stop: stop, ended: make(chan struct{})}
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	command.Stdout, command.Stderr = &p.log, &p.log
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopTimeout
	p.began = time.Now()
	if err := command.Start(); err != nil {
		stop()
		return nil, err
	}
	p.PID = command.Process.Pid
	go func() {
		_ = command.Wait() // how it ends shows in its log
		close(p.ended)
	}()
	return p, nil
}

// Stop ends the process and waits for its end.
func (p *Process) Stop() {
	p.stop()
	<-p.ended
}

// Log is what the process has written. It waits for its end.
func (p *Process) Log() string {
	<-p.ended
	return p.log.String()
}

// AwaitListening returns how long after its start the process listened. It asks
// without a pause: it is used to measure milliseconds.
func (p *Process) AwaitListening(address string) (time.Duration, error) {
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return time.Since(p.began), conn.Close()
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("%s has ended: %s", p.name, &p.log)
		default:
		}
		if time.Since(p.began) > startTimeout {
			p.Stop()
			return 0, fmt.Errorf("%s does not listen on %s: %w: %s", p.name, address, err, &p.log)
		}
	}
}

// FreeAddress is an address on loopback that nobody listens on.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), errors.Join(err, listener.Close())
}
