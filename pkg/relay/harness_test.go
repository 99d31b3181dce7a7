package relay_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

const patience = 10 * time.Second // of every wait for a condition

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is the server that requests are for.
type origin struct {
	*httptest.Server
	roots *x509.CertPool

	mu    sync.Mutex
	conns int
}

func newOrigin(tb testing.TB, handler http.HandlerFunc) *origin {
	tb.Helper()
	o := &origin{Server: httptest.NewUnstartedServer(handler), roots: x509.NewCertPool()}
	certificate, ca := testkit.Certificate(tb, "origin", time.Now().Add(time.Hour))
	require.True(tb, o.roots.AppendCertsFromPEM([]byte(ca)))
	o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	o.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	o.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.conns++
		}
	}
	o.StartTLS()
	tb.Cleanup(o.Close)
	return o
}

// connections is how many the origin has ever had.
func (o *origin) connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns
}

func (o *origin) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: o.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

func (o *origin) pool(tb testing.TB) *relay.Pool {
	tb.Helper()
	p := &relay.Pool{
		Address: o.Listener.Addr().String(), TLS: o.clientTLS(),
		DialTimeout: patience, IdleTimeout: time.Minute, MaxIdle: 8, ResponseHeader: 64 << 10,
	}
	tb.Cleanup(p.Close)
	return p
}

// front is a relay to an origin, and how clients reach it.
type front struct {
	address string
	roots   *x509.CertPool
	server  *relay.Server
	log     *testkit.Log
	once    sync.Once
}

func newFront(tb testing.TB, limits relay.Limits, handle relay.Handler) *front {
	tb.Helper()
	f := &front{roots: x509.NewCertPool(), log: &testkit.Log{}}
	certificate, ca := testkit.Certificate(tb, "front", time.Now().Add(time.Hour))
	require.True(tb, f.roots.AppendCertsFromPEM([]byte(ca)))
	f.server = &relay.Server{Limits: limits, Refuse: answer, Log: slog.New(slog.NewJSONHandler(f.log, nil))}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	f.address = listener.Addr().String()
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.server.ServeConn(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}}), handle)
		}
	})
	tb.Cleanup(func() {
		require.NoError(tb, listener.Close())
		accepting.Wait()
		f.shutdown(0)
	})
	return f
}

// shutdown gives requests some time to finish, once.
func (f *front) shutdown(timeout time.Duration) (err error) {
	f.once.Do(func() { err = f.server.Shutdown(after(timeout)) })
	return err
}

var limits = relay.Limits{RequestHeader: 16 << 10, HeaderLines: 50, LargeHeaders: 1, HeaderTimeout: patience, IdleTimeout: patience}

// forwarding is a relay that passes everything on.
func forwarding(tb testing.TB, o *origin) *front {
	tb.Helper()
	return newFront(tb, limits, forwardTo(o.pool(tb)))
}

func forwardTo(p *relay.Pool) relay.Handler {
	return func(x *relay.Exchange) {
		resp, err := x.Forward(p, func(req *http.Request) { req.Host = "origin.example" })
		switch {
		case err == nil:
			x.Answer(resp)
		case errors.Is(err, relay.ErrMalformedBody):
			x.Answer(answer(http.StatusBadRequest, err.Error()))
		case !errors.Is(err, relay.ErrClientGone):
			x.Answer(answer(http.StatusBadGateway, err.Error()))
		}
	}
}

func answer(code int, message string) *http.Response {
	return &http.Response{
		StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(message)), ContentLength: int64(len(message)),
	}
}

// dial is a client's connection.
func (f *front) dial(tb testing.TB) *tls.Conn {
	tb.Helper()
	conn, err := tls.Dial("tcp", f.address, &tls.Config{RootCAs: f.roots, ServerName: "127.0.0.1"})
	require.NoError(tb, err)
	tb.Cleanup(func() { conn.Close() })
	require.NoError(tb, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// exchange sends what a client says on one connection, and reads a response to
// each request that has one of the methods.
func (f *front) exchange(t *testing.T, said string, methods ...string) []*http.Response {
	t.Helper()
	conn := f.dial(t)
	_, err := io.WriteString(conn, said)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	var responses []*http.Response
	for _, method := range methods {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		responses = append(responses, resp)
		resp.Body = io.NopCloser(strings.NewReader(content(t, resp)))
	}
	return responses
}

func content(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}
