package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tailLines is how much of a log an error shows.
const tailLines = 15

// process is a long-running part of an instance. It outlives this program.
type process struct {
	instance instance
	name     string
	log      string
	output   *os.File
	pid      int
	ended    chan struct{}
	state    string // how it ended; to be read after ended is closed
}

// newProcess opens the log of a process to be. That is apart from start because
// the node does not see the directory of the logs.
func newProcess(i instance, name string) (*process, error) {
	p := &process{instance: i, name: name, log: i.logFile(name), ended: make(chan struct{})}
	if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
		return nil, err
	}
	var err error
	p.output, err = os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	return p, err
}

// start starts a program on the calling thread, whose namespaces it inherits.
func (p *process) start(program string, args ...string) error {
	defer func() { _ = p.output.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.Dir = "/"
	// A small environment of its own: proxy settings of the caller's, for one,
	// would lead an API server's webhook calls astray.
	cmd.Env = []string{"PATH=" + strings.Join(systemPath, ":"), marker + "=" + p.instance.name}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		p.state = cmd.ProcessState.String()
		close(p.ended)
	}()
	return nil
}

// await polls condition while the process runs. Its error names the process,
// and shows the end of its log and where the rest is.
func (p *process) await(ctx context.Context, timeout time.Duration, condition func(context.Context) error) error {
	errEnded := errors.New("ended")
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.ended:
			cancel(errEnded)
		case <-running.Done():
		}
	}()
	err := poll(running, timeout, condition)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	case errors.Is(err, errEnded):
		err = fmt.Errorf("%s ended: %s", p.name, p.state)
	default:
		err = fmt.Errorf("%s is not ready: %w", p.name, err)
	}
	return fmt.Errorf("%w\nthe end of %s:\n%s", err, p.log, tail(p.log, tailLines))
}

// tail is the end of a file, indented for an error message.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "  " + err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "  " + strings.Join(all, "\n  ")
}

// systemPath is where Debian keeps the tools. A root shell that was made by
// `su` lacks the sbin half of it.
var systemPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// lookTool finds a tool of the system.
func lookTool(name string) (string, error) {
	for _, dir := range systemPath {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s", name, strings.Join(systemPath, ":"))
}

// tool runs a tool of the system to its end and returns what it printed.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	path, err := lookTool(name)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	output, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx) // "signal: killed" would be a riddle
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}
