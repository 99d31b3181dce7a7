package relay_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const answered = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"

// closings are what a server that is restarted, or that wants to see its connections
// go elsewhere, does with a request on a connection that was kept. With HTTP/1.1 that
// is what GOAWAY is with HTTP/2.
var closings = map[string]func(conn *tls.Conn, answer string){
	"closes":            func(*tls.Conn, string) {},
	"closes as TLS has": func(conn *tls.Conn, _ string) { conn.Close() },
	"resets":            func(conn *tls.Conn, _ string) { conn.NetConn().(*net.TCPConn).SetLinger(0) },
	"half an answer":    func(conn *tls.Conn, _ string) { io.WriteString(conn, "HTTP/1.1 200 OK\r\nCont") },
	"an interim answer": func(conn *tls.Conn, _ string) { io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n") },
	"says that it will": func(conn *tls.Conn, answer string) {
		io.WriteString(conn, strings.Replace(answer, "OK\r\n", "OK\r\nConnection: close\r\n", 1))
		io.Copy(io.Discard, conn) // and lets the other side begin
	},
	"speaks HTTP/1.0": func(conn *tls.Conn, answer string) { io.WriteString(conn, strings.Replace(answer, "/1.1", "/1.0", 1)) },
	"ends the answer by that": func(conn *tls.Conn, answer string) {
		io.WriteString(conn, strings.Replace(answer, "Content-Length: 4\r\n", "", 1))
	},
}

// newClosingOrigin answers, but for its second request.
func newClosingOrigin(t *testing.T, closing func(*tls.Conn, string)) (o *rawOrigin, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	return newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil || req.URL.Path != "/a" { // of another test, whose server had the port before
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			answer := answered
			if req.Method == http.MethodHead { // what nobody asks for would be an answer to the next
				answer = strings.TrimSuffix(answer, "real")
			}
			if requests.Add(1) == 2 {
				closing(conn, answer)
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}), requests
}

// A request succeeds, is sent again or fails just as it would without a relay, and the
// next one finds the server.
func TestServerCloses(t *testing.T) {
	for name, closing := range closings {
		for _, request := range []struct{ method, body string }{
			{"GET", ""}, {"HEAD", ""}, {"OPTIONS", ""}, {"DELETE", ""}, {"POST", ""},
			{"DELETE", "abc"}, {"POST", "abc"}, {"PUT", "abc"}, {"PATCH", strings.Repeat("x", 5<<10)},
		} {
			t.Run(fmt.Sprintf("%s, %s of %d bytes", name, request.method, len(request.body)), func(t *testing.T) {
				o, want := newClosingOrigin(t, closing)
				transport := &http.Transport{TLSClientConfig: o.relayPool.TLS}
				t.Cleanup(transport.CloseIdleConnections)
				directly := func(method, body string) int {
					req, err := http.NewRequestWithContext(t.Context(), method, "https://"+o.relayPool.Address+"/a", strings.NewReader(body))
					require.NoError(t, err)
					resp, err := transport.RoundTrip(req)
					if err != nil {
						return http.StatusBadGateway
					}
					defer resp.Body.Close()
					_, err = io.Copy(io.Discard, resp.Body)
					require.NoError(t, err)
					return resp.StatusCode
				}
				require.Equal(t, 200, directly("GET", ""))
				code := directly(request.method, request.body)
				require.Equal(t, 200, directly("GET", ""))

				o, got := newClosingOrigin(t, closing)
				said := fmt.Sprintf("%s /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", request.method, len(request.body), request.body)
				// Whatever the server does with its connections, the client keeps its own.
				conn := o.front(t).dial(t)
				_, err := io.WriteString(conn, get+said+get)
				require.NoError(t, err)
				r := bufio.NewReader(conn)
				assert.Equal(t, []int{200, code, 200}, []int{final(t, r, "GET"), final(t, r, request.method), final(t, r, "GET")})
				assert.Equal(t, want.Load(), got.Load(), "requests that the server has seen")
			})
		}
	}
}

// final is the code of the next answer that is not an interim one.
func final(t *testing.T, r *bufio.Reader, method string) int {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		content(t, resp)
		if resp.StatusCode >= 200 {
			return resp.StatusCode
		}
	}
}

// A server that goes on closing is not asked for ever.
func TestServerClosesAlways(t *testing.T) {
	var requests atomic.Int32
	f := newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil || requests.Add(1) > 1 {
				return
			}
			io.WriteString(conn, answered)
		}
	}).front(t)
	responses := f.exchange(t, get+get, "GET", "GET")
	assert.Equal(t, 502, responses[1].StatusCode)
	assert.EqualValues(t, 3, requests.Load(), "one that succeeded, one that failed, and once more")
}
