package relay_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit"
)

// seen is a request as it arrived at an origin, whole.
type seen struct {
	Method, URI, Host, Body string
	Header                  string
	Trailers                int
}

// trailers counts those that have a value: net/http's proxy announces what it does
// not send.
func trailers(req *http.Request) (n int) {
	for _, values := range req.Trailer {
		n += len(values)
	}
	return n
}

// recorder is an origin that remembers what it was asked.
type recorder struct {
	*origin
	mu       sync.Mutex
	requests []seen
}

func newRecorder(tb testing.TB) *recorder {
	tb.Helper()
	r := &recorder{}
	r.origin = newOrigin(tb, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // it broke off: nobody acts on it
		}
		var header strings.Builder
		if err := req.Header.Write(&header); err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, seen{req.Method, req.RequestURI, req.Host, string(body), header.String(), trailers(req)})
		_, _ = io.WriteString(w, "ok")
	})
	return r
}

func (r *recorder) take() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.requests
	r.requests = nil
	return taken
}

// newOracle is a reverse proxy of net/http's before the origin.
func newOracle(tb testing.TB, o *origin) *front {
	tb.Helper()
	target, err := url.Parse(o.URL)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: o.clientTLS(), DisableCompression: true}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  quiet,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = target.Scheme, target.Host, "origin.example"
			p.Out.URL.RawQuery = p.In.URL.RawQuery // nobody here reads it
		},
	})
	proxy.Config.ErrorLog = quiet
	proxy.Config.DisableGeneralOptionsHandler = true
	certificate, ca := testkit.Certificate(tb, "oracle", time.Now().Add(time.Hour))
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	proxy.StartTLS()
	tb.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
	})
	f := &front{address: proxy.Listener.Addr().String(), roots: proxy.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	f.roots.AppendCertsFromPEM([]byte(ca))
	return f
}

// say sends what a client says, and returns the codes of all answers, unless there
// is still more to wait for.
func (f *front) say(t *testing.T, said string) (codes []string, ended bool) {
	t.Helper()
	conn := f.dial(t)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, said) }() // refused before it is read, maybe
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	answers, err := io.ReadAll(conn) // cut off, maybe
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false
	}
	for _, match := range statusLine.FindAllSubmatch(answers, -1) {
		codes = append(codes, string(match[1]))
	}
	return codes, true
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] ([0-9]{3}) `)

// Whatever a client sends, no request reaches the server that would not reach it
// through net/http's own reverse proxy: the same ones, in the same order, and after
// what cannot be understood none.
func FuzzRelayAgainstReverseProxy(f *testing.F) {
	const host = "Host: x\r\n"
	for _, said := range []string{
		get,
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc",
		"POST / HTTP/1.1\r\n" + host + "Content-Length : 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nabc\r\n0\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\n\n",
		"GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Host: y\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "no colon\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/2.0\r\n" + host + "\r\n", "GET / HTTP/0.9\r\n\r\n", "GET /\r\n\r\n",
		"GET http://y/ HTTP/1.1\r\n" + host + "\r\n", "GET * HTTP/1.1\r\n" + host + "\r\n", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
		"CONNECT y:1 HTTP/1.1\r\n" + host + "\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET  / HTTP/1.1\r\n" + host + "\r\n",
		"GET /%zz HTTP/1.1\r\n" + host + "\r\n", "GET //y/ HTTP/1.1\r\n" + host + "\r\n", "GET /?a;b HTTP/1.1\r\n" + host + "\r\n",
		"HEAD / HTTP/1.1\r\n" + host + "\r\n" + get, "GET / HTTP/1.1\r\n" + host + "Connection: close, X\r\nX: y\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", "\r\n" + get, "POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n\r\n" + get,
	} {
		f.Add(said)
	}
	origins := [2]*recorder{newRecorder(f), newRecorder(f)}
	ours, theirs := forwarding(f, origins[0].origin), newOracle(f, origins[1].origin)
	f.Fuzz(func(t *testing.T, said string) {
		lower := strings.ToLower(said)
		if len(said) > 8<<10 || strings.Contains(lower, "upgrade") || strings.Contains(lower, "expect") {
			return // these wait for each other; tests of their own show them
		}
		said += "GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		codes, ended := ours.say(t, said)
		expected, endedToo := theirs.say(t, said)
		got, want := origins[0].take(), origins[1].take()
		if !ended || !endedToo {
			return // a body that does not come, say
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("%q reaches the server as %+v, and should as %+v", said, got, want)
		}
		if len(got) < len(want) && len(codes) > 0 && codes[len(codes)-1] < "400" {
			t.Fatalf("%q: %d of %d requests reach the server, and nothing is said: %v, not %v", said, len(got), len(want), codes, expected)
		}
	})
}
