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
)

const (
	realToken = "real-token-of-the-target"
	patience  = 10 * time.Second // of every wait for a condition
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is an API server with a CA of its own that records what it gets.
type upstream struct {
	*httptest.Server
	ca string

	mu   sync.Mutex
	seen []*http.Request
}

func newUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.Background()))
		u.mu.Unlock()
		handler(w, r)
	}))
	var cert tls.Certificate
	cert, u.ca = testkit.Certificate(t, "ca", time.Now().Add(time.Hour))
	u.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	u.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*http.Request(nil), u.seen...)
}

func (u *upstream) address(t *testing.T, prefix string) connector.Address {
	t.Helper()
	return address(t, u.URL+prefix)
}

func (u *upstream) snapshot() *credential.Snapshot {
	return &credential.Snapshot{CA: u.ca, Token: realToken}
}

func address(t *testing.T, s string) connector.Address {
	t.Helper()
	a, err := connector.ParseAddress(s)
	require.NoError(t, err)
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

// running is an ambassador with the one connector team-a/cluster.
type running struct {
	proxy    string // host:port
	identity *ambassador.Identity
	address  connector.Address
	log      *testkit.Log
	stop     context.CancelFunc
	stopped  chan error
}

var cluster = connector.Reference{Namespace: "team-a", Name: "cluster"}

func start(t *testing.T, a connector.Address, s credential.Source) *running {
	t.Helper()
	r := &running{address: a, log: &testkit.Log{}, stopped: make(chan error, 1)}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	r.identity, err = ambassador.OpenIdentity(t.TempDir(), log)
	require.NoError(t, err)
	amb, err := ambassador.New(ambassador.Options{
		Connectors:   []ambassador.Connector{{Reference: cluster, Address: a, Credential: s}},
		Identity:     r.identity,
		DrainTimeout: 2 * time.Second,
		Log:          log,
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.proxy = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.stopped <- amb.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		select {
		case err, open := <-r.stopped:
			if open {
				assert.NoError(t, err)
			}
		case <-time.After(patience):
			t.Error("Serve did not return")
		}
		assert.NotContains(t, r.log.String(), realToken)
		assert.NotContains(t, r.log.String(), r.identity.Token())
	})
	return r
}

// connect sends a CONNECT request and reads the answer.
func (r *running) connect(t *testing.T, authority, authorization string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", r.proxy)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	header := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n"
	if authorization != "" {
		header += "Proxy-Authorization: " + authorization + "\r\n"
	}
	_, err = conn.Write([]byte(header + "\r\n"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return conn, resp
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func (r *running) authorization() string { return basic(cluster.String(), r.identity.Token()) }

func (r *running) clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.identity.CA())
	return &tls.Config{RootCAs: pool, ServerName: r.address.Host(), NextProtos: []string{"h2", "http/1.1"}}
}

// tunnel is a TLS connection to the inside of a tunnel.
func (r *running) tunnel(t *testing.T) *tls.Conn {
	t.Helper()
	conn, resp := r.connect(t, r.address.Authority(), r.authorization())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	inner := tls.Client(conn, r.clientTLS())
	require.NoError(t, inner.Handshake())
	require.Equal(t, "http/1.1", inner.ConnectionState().NegotiatedProtocol)
	return inner
}

// raw sends a request as it stands through a new tunnel.
func (r *running) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	conn := r.tunnel(t)
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// get is a plain request for a path, with more header lines.
func (r *running) get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n", path, r.address.Authority())
	for _, line := range header {
		request += line + "\r\n"
	}
	return r.raw(t, request+"\r\n")
}

// client is an HTTP client that goes through the proxy.
func (r *running) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy, User: url.UserPassword(cluster.String(), r.identity.Token())}),
		TLSClientConfig: r.clientTLS(),
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(b), realToken)
	return string(b)
}

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
