package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// story tells the demo, chapter by chapter, with kubectl as a person would use
// it.
type story struct {
	out      io.Writer
	clusters *cluster.Cluster
	dir      string // where the kubeconfigs are
	chapter  int

	targetToken string // of the ServiceAccount team-development/pipeline
}

// title begins a chapter.
func (s *story) title(text string) {
	s.chapter++
	fmt.Fprintf(s.out, "\n\n%d. %s\n%s\n", s.chapter, text, strings.Repeat("-", len(text)+3))
}

// say explains.
func (s *story) say(text string) { fmt.Fprintf(s.out, "\n%s\n", text) }

// show runs kubectl against a cluster, and shows the command and its output.
func (s *story) show(ctx context.Context, where string, args ...string) (string, error) {
	fmt.Fprintf(s.out, "\n%s$ kubectl %s\n", where, quoted(args))
	output, err := s.kubectl(ctx, where, "", args...)
	s.print(output)
	return output, err
}

// apply applies a manifest and shows it, with what is hidden replaced.
func (s *story) apply(ctx context.Context, where, manifest string, hide ...string) error {
	shown := manifest
	for _, secret := range hide {
		shown = strings.ReplaceAll(shown, secret, secret[:10]+"…")
	}
	fmt.Fprintf(s.out, "\n%s$ kubectl apply -f - <<EOF\n", where)
	s.print(shown)
	fmt.Fprintf(s.out, "EOF\n")
	output, err := s.kubectl(ctx, where, manifest, "apply", "-f", "-")
	s.print(output)
	return err
}

// print writes indented.
func (s *story) print(text string) {
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		fmt.Fprint(s.out, "    ", line)
	}
}

// kubectl runs kubectl and returns what it prints, on both streams.
func (s *story) kubectl(ctx context.Context, where, stdin string, args ...string) (string, error) {
	kubeconfig := filepath.Join(s.dir, where+".kubeconfig")
	command := exec.CommandContext(ctx, s.clusters.Kubectl, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("kubectl %s: %w: %s", quoted(args), err, strings.TrimSpace(output.String()))
	}
	return output.String(), nil
}

// await asks until the answer is as wanted.
func (s *story) await(ctx context.Context, what string, wanted func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !wanted() {
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for %s", what), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func quoted(args []string) string {
	var b strings.Builder
	for i, arg := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if strings.ContainsAny(arg, " |$;*'\"{") {
			arg = "'" + arg + "'"
		}
		b.WriteString(arg)
	}
	return b.String()
}
