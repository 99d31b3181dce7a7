package ambassador_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

const (
	realToken = "real-token-of-the-target"
	patience  = 10 * time.Second // of every wait for a condition
)

func TestMain(m *testing.M) {
	// For half a second after a refused header, net/http waits for the client.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// upstream is an API server with a CA of its own that records what it gets.
type upstream struct {
	*httptest.Server
	ca string

	mu   sync.Mutex
	seen []*http.Request
}

func newUpstream(tb testing.TB, handler http.HandlerFunc) *upstream {
	tb.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.Background()))
		u.mu.Unlock()
		handler(w, r)
	}))
	var cert tls.Certificate
	cert, u.ca = testkit.Certificate(tb, "ca", time.Now().Add(time.Hour))
	u.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	u.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	u.StartTLS()
	tb.Cleanup(u.Close)
	return u
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*http.Request(nil), u.seen...)
}

func (u *upstream) address(tb testing.TB, prefix string) connector.Address {
	tb.Helper()
	return address(tb, u.URL+prefix)
}

func (u *upstream) snapshot() *credential.Snapshot {
	return &credential.Snapshot{CA: u.ca, Token: realToken}
}

func address(tb testing.TB, s string) connector.Address {
	tb.Helper()
	a, err := connector.ParseAddress(s)
	require.NoError(tb, err)
	return a
}

// source is a credential.Source that a test sets.
type source struct {
	mu      sync.Mutex
	current *credential.Snapshot
	changed chan struct{}
	reload  func() // called by Reload
	panics  bool
}

func newSource(s *credential.Snapshot) *source {
	return &source{current: s, changed: make(chan struct{})}
}

func (s *source) Current() *credential.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		s.panics = false
		panic("a bug")
	}
	return s.current
}

func (s *source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *source) Reload() *credential.Snapshot {
	if s.reload != nil {
		s.reload()
	}
	return s.Current()
}

func (s *source) set(next *credential.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// running is an ambassador with the one connector team-a/cluster, and a client
// that comes to it in one mode.
type running struct {
	mode      kubeconfig.Mode
	proxy     string // host:port
	localhost string // host:port; in modeInCluster that of the in-cluster port
	metrics   string // host:port
	identity  *ambassador.Identity
	address   connector.Address
	log       *testkit.Log
	stop      context.CancelFunc
	stopped   chan error
}

var cluster = connector.Reference{Namespace: "team-a", Name: "cluster"}

// start runs an ambassador for a client that uses the proxy.
func start(t *testing.T, a connector.Address, s credential.Source) *running {
	t.Helper()
	return startFor(t, kubeconfig.ModeProxy, a, s)
}

// startLocal runs an ambassador for a client that uses the localhost port.
func startLocal(t *testing.T, a connector.Address, s credential.Source) *running {
	t.Helper()
	return startFor(t, kubeconfig.ModeLocalhost, a, s)
}

// modeInCluster is that of clients which have no kubeconfig.
const modeInCluster kubeconfig.Mode = "in-cluster"

// startInCluster runs an ambassador for a client that uses the in-cluster port.
func startInCluster(t *testing.T, a connector.Address, s credential.Source) *running {
	t.Helper()
	return startFor(t, modeInCluster, a, s)
}

// modes are the ways in. What is true of one is mostly true of the others.
var modes = map[string]func(*testing.T, connector.Address, credential.Source) *running{
	"proxy": start, "localhost": startLocal, "in-cluster": startInCluster,
}

func startFor(tb testing.TB, mode kubeconfig.Mode, a connector.Address, s credential.Source) *running {
	tb.Helper()
	return startAll(tb, mode, []ambassador.Connector{{Reference: cluster, Address: a, Credential: s}})
}

func startAll(tb testing.TB, mode kubeconfig.Mode, connectors []ambassador.Connector) *running {
	tb.Helper()
	return startOn(tb, mode, connectors, listen(tb), listen(tb))
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	return l
}

func startOn(tb testing.TB, mode kubeconfig.Mode, connectors []ambassador.Connector, proxy, localhost net.Listener) *running {
	tb.Helper()
	r := &running{mode: mode, address: connectors[0].Address, log: &testkit.Log{}, stopped: make(chan error, 1)}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	r.identity, err = ambassador.OpenIdentity(tb.TempDir(), log)
	require.NoError(tb, err)
	amb, err := ambassador.New(ambassador.Options{
		Connectors:   connectors,
		Identity:     r.identity,
		DrainTimeout: 2 * time.Second,
		Log:          log,
	})
	require.NoError(tb, err)
	metrics := listen(tb)
	r.proxy, r.localhost, r.metrics = proxy.Addr().String(), localhost.Addr().String(), metrics.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	listeners := ambassador.Listeners{Proxy: []net.Listener{proxy}, Localhost: []net.Listener{localhost}, Metrics: metrics}
	if mode == modeInCluster {
		listeners.Localhost, listeners.InCluster = nil, listeners.Localhost
	}
	go func() { r.stopped <- amb.Serve(ctx, listeners) }()
	tb.Cleanup(func() {
		stop()
		select {
		case err, open := <-r.stopped:
			if open {
				assert.NoError(tb, err)
			}
		case <-time.After(patience):
			tb.Error("Serve did not return")
		}
		assert.NotContains(tb, r.log.String(), realToken)
		assert.NotContains(tb, r.log.String(), r.identity.Token())
	})
	return r
}

// connect sends a CONNECT request and reads the answer.
func (r *running) connect(tb testing.TB, authority, authorization string) (net.Conn, *http.Response) {
	tb.Helper()
	conn, err := net.Dial("tcp", r.proxy)
	require.NoError(tb, err)
	tb.Cleanup(func() { conn.Close() })
	require.NoError(tb, conn.SetDeadline(time.Now().Add(patience)))
	header := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n"
	if authorization != "" {
		header += "Proxy-Authorization: " + authorization + "\r\n"
	}
	_, err = conn.Write([]byte(header + "\r\n"))
	require.NoError(tb, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	require.NoError(tb, err)
	tb.Cleanup(func() { resp.Body.Close() })
	return conn, resp
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func (r *running) authorization() string { return basic(cluster.String(), r.identity.Token()) }

// direct says whether the client takes the ambassador for the API server.
func (r *running) direct() bool { return r.mode != kubeconfig.ModeProxy }

// host is what the client takes for the API server.
func (r *running) host() string {
	if r.direct() {
		return r.localhost
	}
	return r.address.Authority()
}

// path is a path of the API as the client knows it.
func (r *running) path(path string) string {
	if r.mode == kubeconfig.ModeLocalhost {
		return "/" + cluster.String() + path
	}
	return path
}

func (r *running) url(path string) string { return "https://" + r.host() + r.path(path) }

// line is the begin of a request.
func (r *running) line(method, path string) string {
	line := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, r.path(path), r.host())
	if r.direct() {
		return line + "Authorization: Bearer " + r.identity.Token() + "\r\n"
	}
	return line + "Authorization: Bearer fake-token\r\n"
}

func (r *running) clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.identity.CA())
	config := &tls.Config{RootCAs: pool, ServerName: r.address.Host(), NextProtos: []string{"h2", "http/1.1"}}
	if r.direct() {
		config.ServerName = "127.0.0.1"
	}
	return config
}

// open is a TLS connection to what the client takes for the API server.
func (r *running) open(tb testing.TB) *tls.Conn {
	tb.Helper()
	var conn net.Conn
	if r.direct() {
		var err error
		conn, err = net.Dial("tcp", r.localhost)
		require.NoError(tb, err)
		tb.Cleanup(func() { conn.Close() })
		require.NoError(tb, conn.SetDeadline(time.Now().Add(patience)))
	} else {
		var resp *http.Response
		conn, resp = r.connect(tb, r.address.Authority(), r.authorization())
		require.Equal(tb, http.StatusOK, resp.StatusCode)
	}
	inner := tls.Client(conn, r.clientTLS())
	require.NoError(tb, inner.Handshake())
	require.Equal(tb, "http/1.1", inner.ConnectionState().NegotiatedProtocol)
	return inner
}

// raw sends a request as it stands over a new connection.
func (r *running) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	conn := r.open(t)
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// get is a plain request for a path, with more header lines.
func (r *running) get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	request := r.line(http.MethodGet, path)
	for _, line := range header {
		request += line + "\r\n"
	}
	return r.raw(t, request+"\r\n")
}

// client is an HTTP client as the kubeconfig makes it.
func (r *running) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: r.clientTLS()}
	t.Cleanup(transport.CloseIdleConnections)
	if r.direct() {
		return &http.Client{Transport: bearer{transport, r.identity.Token()}, Timeout: patience}
	}
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy, User: url.UserPassword(cluster.String(), r.identity.Token())})
	return &http.Client{Transport: transport, Timeout: patience}
}

// bearer is a transport that shows a token.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(b), realToken)
	return string(b)
}

// similar is another token that differs in one place.
func similar(token string) string {
	if token[0] == 'x' {
		return "y" + token[1:]
	}
	return "x" + token[1:]
}

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
