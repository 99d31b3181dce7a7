package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// executors are the protocols of exec and attach.
var executors = map[string]func(config *rest.Config, address string) (remotecommand.Executor, error){
	"WebSocket": func(config *rest.Config, address string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(config, "GET", address)
	},
	"SPDY": func(config *rest.Config, address string) (remotecommand.Executor, error) {
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutor(config, "POST", parsed)
	},
}

// outcome is what a client sees of a process in a Pod.
type outcome struct {
	Stdout, Stderr, Error string
	Code                  int
}

// stream does an exec or attach, one of the subresources of a Pod.
func (w *way) stream(t *testing.T, protocol string, pod *corev1.Pod, subresource string, options runtime.Object, streams remotecommand.StreamOptions) outcome {
	t.Helper()
	request := w.set(t).CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource(subresource).
		VersionedParams(options, clientgoscheme.ParameterCodec)
	executor, err := executors[protocol](w.config, request.URL().String())
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	if streams.Stdout == nil {
		streams.Stdout = io.Discard
	}
	streams.Stdout = io.MultiWriter(&stdout, streams.Stdout)
	if !streams.Tty {
		streams.Stderr = &stderr
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := outcome{}
	if err := executor.StreamWithContext(ctx, streams); err != nil {
		got.Error = err.Error()
		if code := (exec.CodeExitError{}); errors.As(err, &code) {
			got.Code = code.Code
		}
	}
	got.Stdout, got.Stderr = digest(stdout.String()), digest(stderr.String())
	return got
}

// digest stands for what is too long to be printed.
func digest(text string) string {
	if len(text) < 200 {
		return text
	}
	return fmt.Sprintf("%d bytes with the hash %s", len(text), hash(text))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// randomText is the same each time.
func randomText(length int) string {
	raw := make([]byte, length/2)
	_, _ = rand.NewChaCha8([32]byte{}).Read(raw)
	return hex.EncodeToString(raw)
}

// server is a Pod of home with something to say and nothing of the product.
func server(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := sleeper(makeNamespace(t, home, nil))
	pod.Annotations, pod.GenerateName, pod.Name = nil, "", "server"
	create(t, home, pod)
	return awaitPod(t, pod, "running", running)
}

// TestExec: commands run in a Pod through the sidecar as they do directly, over
// both protocols: what they print, what they read until it ends, and how they end.
func TestExec(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Home)
	pod := server(t)
	large := randomText(1 << 20)
	for name, test := range map[string]struct {
		command  string
		stdin    string
		closed   bool // there is no stdin
		tty      bool
		notThere bool // the container
		want     outcome
	}{
		"both outputs":            {command: "echo out; echo err >&2", closed: true, want: outcome{Stdout: "out\n", Stderr: "err\n"}},
		"exit code":               {command: "echo out; exit 7", closed: true, want: outcome{Stdout: "out\n", Code: 7, Error: "command terminated with exit code 7"}},
		"the end of stdin":        {command: "sha256sum; echo after", stdin: large, want: outcome{Stdout: hash(large) + "  -\nafter\n"}},
		"exit code after stdin":   {command: "cat >/dev/null; exit 3", stdin: large, want: outcome{Code: 3, Error: "command terminated with exit code 3"}},
		"empty stdin":             {command: "cat; echo after", want: outcome{Stdout: "after\n"}},
		"there and back":          {command: "cat", stdin: large, want: outcome{Stdout: digest(large)}},
		"much on both outputs":    {command: "cat | tee /dev/stderr", stdin: large, want: outcome{Stdout: digest(large), Stderr: digest(large)}},
		"stdin that nobody reads": {command: "head -c 1 >/dev/null; exit 5", stdin: "unread", want: outcome{Code: 5, Error: "command terminated with exit code 5"}},
		"killed":                  {command: "kill -9 $$", closed: true, want: outcome{Code: 137, Error: "command terminated with exit code 137"}},
		"terminal":                {command: "until stty size 2>/dev/null | grep -q '42 99'; do :; done; test -t 1 && echo terminal", tty: true, want: outcome{Stdout: "terminal\r\n"}},
		"no such container":       {command: "true", closed: true, notThere: true},
	} {
		for protocol := range executors {
			t.Run(name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				options := &corev1.PodExecOptions{
					Container: "app", Command: []string{"sh", "-c", test.command}, Stdin: !test.closed, Stdout: true, Stderr: !test.tty, TTY: test.tty,
				}
				if test.notThere {
					options.Container = "none"
				}
				want := test.want
				for i, w := range ways {
					streams := remotecommand.StreamOptions{Tty: test.tty}
					if !test.closed {
						streams.Stdin = strings.NewReader(test.stdin)
					}
					if test.tty {
						streams.TerminalSizeQueue = &oneSize{left: 1}
						stdin, keyboard := io.Pipe() // nobody types
						defer keyboard.Close()
						streams.Stdin = stdin
					}
					got := w.stream(t, protocol, pod, "exec", options, streams)
					if i == 0 && test.notThere {
						require.Contains(t, got.Error, "container none is not valid")
						want = got // each protocol in words of its own
					}
					assert.Equal(t, want, got, w.name)
				}
			})
		}
	}
}

// oneSize is a terminal that is never resized.
type oneSize struct{ left int }

func (s *oneSize) Next() *remotecommand.TerminalSize {
	if s.left == 0 {
		return nil
	}
	s.left--
	return &remotecommand.TerminalSize{Width: 99, Height: 42}
}

// TestAttach: what is written to a container's stdin gets there, is answered while
// it is open, and ends with it.
func TestAttach(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Home)
	pod := sleeper(makeNamespace(t, home, nil))
	pod.Annotations, pod.Spec.Containers, pod.Spec.RestartPolicy = nil, nil, corev1.RestartPolicyNever
	// A container for each, since it can be attached to once.
	for _, w := range ways {
		for protocol := range executors {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
				Name: strings.ToLower(w.name + "-" + protocol), Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever, Stdin: true, StdinOnce: true,
				Command: []string{"sh", "-c", "echo ready; while read line; do echo got $line; done; echo end"},
			})
		}
	}
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	for _, w := range ways {
		for protocol := range executors {
			t.Run(w.name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				container := strings.ToLower(w.name + "-" + protocol)
				eventually(t, func() bool { return logs(t, pod, container) == "ready\n" }, "it does not print")
				stdin, pipe := io.Pipe()
				go func() { _, _ = io.WriteString(pipe, "one\n") }()
				got := w.stream(t, protocol, pod, "attach", &corev1.PodAttachOptions{
					Container: container, Stdin: true, Stdout: true, Stderr: true,
				}, remotecommand.StreamOptions{Stdin: stdin, Stdout: &talk{stdin: pipe}})
				assert.Equal(t, outcome{Stdout: "got one\ngot two\nend\n"}, got)
				assert.Equal(t, "ready\ngot one\ngot two\nend\n", logs(t, pod, container))
			})
		}
	}
}

// talk is somebody at a terminal who says the second line when the first is
// answered, and then no more.
type talk struct {
	heard bytes.Buffer
	stdin *io.PipeWriter
}

func (c *talk) Write(p []byte) (int, error) {
	n, err := c.heard.Write(p)
	if c.heard.String() == "got one\n" {
		go func() {
			_, _ = io.WriteString(c.stdin, "two\n")
			_ = c.stdin.Close()
		}()
	}
	return n, err
}
