package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/internal/testkit"
)

const (
	patience = 20 * time.Second
	asMain   = "SIDECAR_TEST_AS_MAIN"
)

// TestMain is the sidecar itself if a test has started it as such.
func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// sidecar is a command of the program as a process of its own.
func sidecar(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(append(os.Environ(), "KUBERNETES_SERVICE_HOST=", asMain+"=1"), env...)
	return cmd
}

// place is the directories of one container.
type place struct {
	t                              *testing.T
	credentials, state, kubeconfig string
	port, localhostPort, free      string // ports
	connectors                     []string
	more                           []string // arguments
	log                            *testkit.Log
}

func newPlace(t *testing.T, connectors ...string) *place {
	t.Helper()
	// Short: the path of a unix socket has to fit into 108 bytes.
	dir, err := os.MkdirTemp("", "sidecar") //nolint:usetesting // t.TempDir is too long
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	var ports []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		ports = append(ports, port)
	}
	p := &place{
		t: t, credentials: filepath.Join(dir, "c"), state: filepath.Join(dir, "s"), kubeconfig: filepath.Join(dir, "kubeconfig"),
		port: ports[0], localhostPort: ports[1], free: ports[2], connectors: connectors, log: &testkit.Log{},
	}
	for _, d := range []string{p.credentials, p.state} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	return p
}

func (p *place) args() []string {
	args := []string{"run", "--credentials-dir=" + p.credentials, "--state-dir=" + p.state,
		"--kubeconfig=" + p.kubeconfig, "--proxy-port=" + p.port, "--localhost-port=" + p.localhostPort, "--log-level=debug", "--drain-timeout=2s", "--unsealed"}
	for _, c := range p.connectors {
		args = append(args, "--connector="+c)
	}
	return append(args, p.more...)
}

// run starts the sidecar and returns when it is ready.
func (p *place) run(env ...string) *exec.Cmd {
	p.t.Helper()
	return p.start(sidecar(p.t, env, p.args()...))
}

func (p *place) start(cmd *exec.Cmd) *exec.Cmd {
	p.t.Helper()
	cmd.Stderr = p.log
	require.NoError(p.t, cmd.Start())
	p.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	require.NoError(p.t, p.wait(patience), "%s", p.log)
	return cmd
}

func (p *place) wait(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return wait(ctx, filepath.Join(p.state, readySocket))
}

func (p *place) client() *http.Client {
	p.t.Helper()
	return p.clientOf("")
}

// clientOf is a client that uses one context, "" for the current one.
func (p *place) clientOf(context string) *http.Client {
	p.t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: p.kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	require.NoError(p.t, err)
	client, err := rest.HTTPClientFor(config)
	require.NoError(p.t, err)
	p.t.Cleanup(client.CloseIdleConnections)
	client.Timeout = patience
	return client
}

// swap replaces the files of team-a/cluster as the kubelet does.
func (p *place) swap(generation string, files map[string]string) {
	p.t.Helper()
	for name, content := range files {
		path := filepath.Join(p.credentials, generation, "team-a", "cluster", name)
		require.NoError(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(p.t, os.WriteFile(path, []byte(content), 0o444))
	}
	link := filepath.Join(p.credentials, "..data_tmp")
	require.NoError(p.t, os.Symlink(generation, link))
	require.NoError(p.t, os.Rename(link, filepath.Join(p.credentials, "..data")))
	if err := os.Symlink("..data/team-a", filepath.Join(p.credentials, "team-a")); err != nil {
		require.ErrorIs(p.t, err, os.ErrExist)
	}
}

// newUpstream is an API server that answers with the Authorization it got.
func newUpstream(t *testing.T) (url, ca string) {
	t.Helper()
	return serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Host+" "+r.Header.Get("Authorization"))
	})
}

func serveUpstream(t *testing.T, handler http.HandlerFunc) (url, ca string) {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "upstream", time.Now().Add(time.Hour))
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, ca
}

// get is what a client gets: a body, or the words of a refused CONNECT.
func (p *place) get(client *http.Client, url string) string {
	p.t.Helper()
	resp, err := client.Get(url + "/api")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return string(b)
}

func TestKubeconfigsForSomeConnectors(t *testing.T) {
	p := newPlace(t, "team-a/one=https://one.example", "team-a/two=https://two.example", "team-b/one=https://three.example")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	p.more = []string{"--kubeconfig-mode=localhost", "--kubeconfig=" + first + "=team-a/two", "--kubeconfig=" + second + "=team-b/one,team-a/one"}
	p.run()
	for path, want := range map[string]struct {
		current  string
		contexts []string
		server   string
	}{
		p.kubeconfig: {"team-a/one-localhost", []string{"team-a/one", "two", "team-b/one", "team-a/one-localhost", "two-localhost", "team-b/one-localhost"}, "team-a/one"},
		first:        {"k8s-localhost", []string{"k8s", "k8s-localhost"}, "team-a/two"},
		second:       {"team-b/one-localhost", []string{"team-b/one", "team-a/one", "team-b/one-localhost", "team-a/one-localhost"}, "team-b/one"},
	} {
		config, err := clientcmd.LoadFromFile(path)
		require.NoError(t, err)
		assert.Equal(t, want.current, config.CurrentContext)
		assert.ElementsMatch(t, want.contexts, slices.Collect(maps.Keys(config.Contexts)))
		assert.Equal(t, "https://127.0.0.1:"+p.localhostPort+"/"+want.server, config.Clusters[want.current].Server)
	}
}

func TestTokenCAAndAddressChangeLive(t *testing.T) {
	first, firstCA := newUpstream(t)
	second, secondCA := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+first)
	cmd := p.run()
	client := p.client()
	assert.Contains(t, p.get(client, first), "no token yet")

	localhost := p.clientOf("k8s-localhost")
	server := "https://127.0.0.1:" + p.localhostPort + "/team-a/cluster"
	assert.Contains(t, p.get(localhost, server), "no token yet")

	for i, files := range []map[string]string{
		{"token": "token-1", "ca.crt": firstCA},
		{"token": "token-2", "ca.crt": firstCA},
		{"token": "token-3", "ca.crt": secondCA, "address": second},
	} {
		p.swap(fmt.Sprint("..", i), files)
		to := first
		if files["address"] != "" {
			to = second
		}
		want := strings.TrimPrefix(to, "https://") + " Bearer " + files["token"]
		require.Eventually(t, func() bool { return p.get(client, first) == want }, patience, 5*time.Millisecond)
		assert.Equal(t, want, p.get(localhost, server))
	}

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "exit code 0")
	assert.NotContains(t, p.log.String(), "token-")
	file, err := os.ReadFile(p.kubeconfig)
	require.NoError(t, err)
	assert.NotContains(t, string(file), "token-")
}

// Apps that run have read the kubeconfig of the killed process.
func TestKilledSidecarComesBackTheSame(t *testing.T) {
	url, ca := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+url)
	p.swap("..1", map[string]string{"token": "one", "ca.crt": ca})
	cmd := p.run()
	client := p.client()
	want := strings.TrimPrefix(url, "https://") + " Bearer one"
	require.Equal(t, want, p.get(client, url))
	before, err := os.ReadFile(p.kubeconfig)
	require.NoError(t, err)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.FileExists(t, filepath.Join(p.state, readySocket))
	require.Error(t, p.wait(100*time.Millisecond), "the socket of a dead process, and a kubeconfig that is there")
	client.CloseIdleConnections()

	p.run()
	after, err := os.ReadFile(p.kubeconfig)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.Equal(t, want, p.get(client, url))
}

// The environment of a Pod often names a proxy. It is not who a token is for.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer trap.Close()
	var caught sync.WaitGroup
	connections := make(chan struct{}, 16)
	caught.Go(func() {
		for {
			conn, err := trap.Accept()
			if err != nil {
				return
			}
			conn.Close()
			connections <- struct{}{}
		}
	})
	// Not a local address: those are never proxied.
	url := "https://upstream.invalid:6443"
	p := newPlace(t, "team-a/cluster="+url)
	p.swap("..1", map[string]string{"token": "one"})
	proxy := "http://" + trap.Addr().String()
	p.run("HTTPS_PROXY="+proxy, "https_proxy="+proxy, "HTTP_PROXY="+proxy, "ALL_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
	assert.Contains(t, p.get(p.client(), url), `"code":502`)
	trap.Close()
	caught.Wait()
	assert.Empty(t, connections)
}

func TestVersion(t *testing.T) {
	var stdout bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"version"}, &stdout, io.Discard))
	assert.Equal(t, "dev\n", stdout.String())
}

func TestWait(t *testing.T) {
	t.Run("started before run", func(t *testing.T) {
		p := newPlace(t, "team-a/cluster=https://api.example")
		hook := sidecar(t, nil, "wait", "--state-dir="+p.state)
		require.NoError(t, hook.Start())
		p.run()
		require.NoError(t, hook.Wait())
		assert.FileExists(t, p.kubeconfig)
	})
	t.Run("socket of a predecessor", func(t *testing.T) {
		p := newPlace(t, "team-a/cluster=https://api.example")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(p.state, readySocket)})
		require.NoError(t, err)
		stale.SetUnlinkOnClose(false)
		require.NoError(t, stale.Close())
		require.ErrorContains(t, p.wait(50*time.Millisecond), "not ready")
		p.run()
	})
	t.Run("nobody answers", func(t *testing.T) {
		p := newPlace(t)
		mute, err := net.Listen("unix", filepath.Join(p.state, readySocket))
		require.NoError(t, err)
		defer mute.Close()
		require.ErrorContains(t, p.wait(50*time.Millisecond), "not ready")
	})
	t.Run("never", func(t *testing.T) {
		hook := sidecar(t, nil, "wait", "--state-dir="+newPlace(t).state)
		begin := time.Now()
		output, err := hook.CombinedOutput()
		require.Error(t, err)
		assert.Equal(t, 1, hook.ProcessState.ExitCode())
		assert.Contains(t, string(output), "the sidecar is not ready")
		assert.InDelta(t, waitTimeout.Seconds(), time.Since(begin).Seconds(), 3)
	})
	t.Run("not before the last kubeconfig", func(t *testing.T) {
		p := newPlace(t, "team-a/cluster=https://api.example")
		last := filepath.Join(t.TempDir(), "last")
		p.more = []string{"--kubeconfig=" + last + "=team-a/cluster"}
		require.NoError(t, os.MkdirAll(filepath.Join(last, "in-the-way"), 0o755))
		output, err := sidecar(t, nil, p.args()...).CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(output), last)
		assert.FileExists(t, p.kubeconfig)
		assert.NoFileExists(t, filepath.Join(p.state, readySocket))
	})
}

func TestTakenPortIsExplained(t *testing.T) {
	p := newPlace(t, "team-a/cluster=https://api.example")
	for _, port := range []string{p.port, p.localhostPort} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		require.NoError(t, err)
		output, err := sidecar(t, nil, p.args()...).CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(output), "127.0.0.1:"+port)
		assert.Contains(t, string(output), "connectors.alauda.io/proxy-port")
		require.NoError(t, l.Close())
	}
}

func TestMetrics(t *testing.T) {
	url, ca := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+url)
	p.more = []string{"--metrics-port=" + p.free}
	p.swap("..1", map[string]string{"token": "token-1", "ca.crt": ca})
	cmd := p.run()
	require.Contains(t, p.get(p.client(), url), "token-1")
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://127.0.0.1:" + p.free + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.NotContains(t, string(b), "token-1")
		return strings.Contains(string(b), `kube_connector_sidecar_requests_total{connector="team-a/cluster",verb="GET",code="200"} 1`)
	}, patience, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "exit code 0")
	http.DefaultClient.CloseIdleConnections()
}

func TestTakenMetricsPortIsExplained(t *testing.T) {
	p := newPlace(t, "team-a/cluster=https://api.example")
	l, err := net.Listen("tcp", ":"+p.free)
	require.NoError(t, err)
	defer l.Close()
	p.more = []string{"--metrics-port=" + p.free}
	output, err := sidecar(t, nil, p.args()...).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), ":"+p.free)
	assert.Contains(t, string(output), "Give --metrics-port another")
}

func TestBadArguments(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, tc := range map[string]struct {
		args    []string
		message string
	}{
		"no command":                {nil, "usage:"},
		"unknown command":           {[]string{"serve"}, "usage:"},
		"unknown flag":              {[]string{"run", "--nothing"}, "--nothing"},
		"no connector":              {[]string{"run"}, "--connector=<namespace>/<name>=<address>"},
		"no address":                {[]string{"run", "--connector=team-a/x"}, "must be <namespace>/<name>=<address>"},
		"empty address":             {[]string{"run", "--connector=team-a/x="}, "https://"},
		"no namespace":              {[]string{"run", "--connector=x=https://a"}, "namespace"},
		"plain HTTP":                {[]string{"run", "--connector=team-a/x=http://a"}, "https://"},
		"left over":                 {[]string{"run", "--connector=team-a/x=https://a", "more"}, `unexpected argument "more"`},
		"port":                      {[]string{"run", "--connector=team-a/x=https://a", "--proxy-port=70000"}, "--proxy-port=70000"},
		"localhost port":            {[]string{"run", "--connector=team-a/x=https://a", "--localhost-port=0"}, "--localhost-port=0"},
		"port for both":             {[]string{"run", "--connector=team-a/x=https://a", "--proxy-port=7", "--localhost-port=7"}, "is --proxy-port, too"},
		"metrics port":              {[]string{"run", "--connector=team-a/x=https://a", "--metrics-port=65536"}, "--metrics-port=65536: must be from 1 to 65535, or 0 for none"},
		"no metrics port":           {[]string{"run", "--connector=team-a/x=https://a", "--metrics-port=-1"}, "metrics-port"},
		"metrics at the proxy":      {[]string{"run", "--connector=team-a/x=https://a", "--proxy-port=7", "--metrics-port=7"}, "give each its own"},
		"metrics at localhost":      {[]string{"run", "--connector=team-a/x=https://a", "--localhost-port=7", "--metrics-port=7"}, "give each its own"},
		"in-cluster port":           {[]string{"run", "--connector=team-a/x=https://a", "--in-cluster-port=65536"}, "--in-cluster-port=65536: must be from 1 to 65535, or 0 for none"},
		"in-cluster at the proxy":   {[]string{"run", "--connector=team-a/x=https://a", "--in-cluster-port=17443"}, "give each its own"},
		"in-cluster at localhost":   {[]string{"run", "--connector=team-a/x=https://a", "--in-cluster-port=17444"}, "give each its own"},
		"in-cluster at the metrics": {[]string{"run", "--connector=team-a/x=https://a", "--metrics-port=7", "--in-cluster-port=7"}, "give each its own"},
		"in-cluster for several":    {[]string{"run", "--connector=team-a/x=https://a", "--connector=team-a/y=https://a", "--in-cluster-port=7", "--in-cluster-dir=/tmp"}, "serve one connector, not 2"},
		"no in-cluster directory":   {[]string{"run", "--connector=team-a/x=https://a", "--in-cluster-port=7"}, "/var/run/connector-proxy/in-cluster: is not a directory"},
		"mode":                      {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig-mode=both"}, "must be proxy or localhost"},
		"no directory":              {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/nowhere/kubeconfig"}, "/nowhere is not a directory"},
		"default missing":           {[]string{"run", "--connector=team-a/x=https://a"}, "/var/run/connector-proxy/kubeconfig is not a directory"},
		"empty kubeconfig":          {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig="}, "path of a file"},
		"kubeconfig is a directory": {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/"}, "path of a file"},
		"kubeconfig twice":          {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/k", "--kubeconfig=/tmp//k=team-a/x"}, "/tmp/k is given twice"},
		"not served":                {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/k=team-a/y"}, "connector team-a/y is not served"},
		"named twice":               {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/k=team-a/x,team-a/x"}, "team-a/x is named twice"},
		"named without namespace":   {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/k=x"}, "namespace"},
		"names nothing":             {[]string{"run", "--connector=team-a/x=https://a", "--kubeconfig=/tmp/k="}, "name at least one Connector"},
		"endless drain":             {[]string{"run", "--connector=team-a/x=https://a", "--drain-timeout=48h"}, "at most 1h"},
		"log level":                 {[]string{"run", "--connector=team-a/x=https://a", "--log-level=loud"}, "log-level"},
		"connector twice":           {append(newPlace(t, "team-a/x=https://a", "team-a/x=https://b").args(), "--log-level=error"), "configured twice"},
		"left over (wait)":          {[]string{"wait", "x"}, "unexpected argument"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			// Arguments that are taken all the same would be served for ever.
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := run(ctx, tc.args, &stdout, &stderr)
			require.Error(t, err)
			assert.Contains(t, stderr.String()+err.Error(), strings.TrimPrefix(tc.message, "--"))
			assert.Empty(t, stdout.String())
		})
	}
}

// A client-go proxy idles at 50 MB, and every Pod would pay for it.
func TestNoKubernetesPackagesAreLinked(t *testing.T) {
	output, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(output), "pkg/ambassador")
	for dep := range strings.Lines(string(output)) {
		assert.False(t, strings.HasPrefix(dep, "k8s.io/") || strings.HasPrefix(dep, "sigs.k8s.io/"), dep)
	}
}
