package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// waitTimeout bounds wait: while a hook runs, the kubelet can neither stop
	// the Pod nor show its logs.
	waitTimeout = 10 * time.Second
	// maxRetry is the longest time between two questions.
	maxRetry = 50 * time.Millisecond
	// readySocket is in the state directory, where no other container gets.
	readySocket = "ready.sock"
	// readyAnswer is what the socket says to everybody.
	readyAnswer = "ready\n"
)

// announce answers wait until the listener is closed. It is called when this
// process is ready, so that only the process that is can answer.
func announce(dir string) (io.Closer, error) {
	path := filepath.Join(dir, readySocket)
	// A killed predecessor leaves its socket behind.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("ready socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("ready socket: %w", err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(conn, readyAnswer) // who does not listen asks again
			conn.Close()
		}
	}()
	return l, nil
}

// runWait is the command wait.
func runWait(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("sidecar wait", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("state-dir", stateDir, "the --state-dir of run")
	if err := parse(flags, args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	return wait(ctx, filepath.Join(*dir, readySocket))
}

// wait asks the socket at path until it says ready. The hook starts together
// with run, so the socket may be missing yet, or be that of a predecessor.
func wait(ctx context.Context, path string) error {
	for pause := time.Millisecond; ; pause = min(2*pause, maxRetry) {
		err := ask(ctx, path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the sidecar is not ready: %w; its log says why", err)
		case <-time.After(pause):
		}
	}
}

// ask returns nil if the process behind the socket says that it is ready.
func ask(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, int64(len(readyAnswer)+1)))
	if err != nil {
		return err
	}
	if string(answer) != readyAnswer {
		return errors.New("no answer from the sidecar")
	}
	return nil
}
