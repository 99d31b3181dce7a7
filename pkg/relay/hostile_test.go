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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/relay"
)

const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

// What a server says without being asked is no answer to the next request, wherever
// it waits to be read.
func TestUnaskedAnswersAreDropped(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nX: "
	head += strings.Repeat("x", 4096-len(head)-4) + "\r\n\r\n"
	for name, tc := range map[string]struct {
		method string
		answer []string
	}{
		"in one record with a body":   {"GET", []string{"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", strings.Repeat("x", 5000) + forged}},
		"in one record with the head": {"GET", []string{"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000) + forged}},
		"after chunks":                {"GET", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1388\r\n" + strings.Repeat("x", 5000) + "\r\n0\r\n\r\n" + forged}},
		"as the body of HEAD":         {"HEAD", []string{head + forged}},
		"in a record of its own":      {"GET", []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", forged}},
	} {
		t.Run(name, func(t *testing.T) {
			said := make(chan struct{})
			f := newRawOrigin(t, answeringThen(func() { close(said) }, tc.answer...)).front(t)
			f.exchange(t, tc.method+" / HTTP/1.1\r\nHost: x\r\n\r\n", tc.method)
			<-said // what comes after the next request would be an answer to it
			assert.Equal(t, "real", content(t, f.exchange(t, get, "GET")[0]))
		})
	}
}

// A code below 100 is taken for an interim one by some and for a final one by
// others: the next answer on the client's connection would be the server's to make.
func TestCodesBelow100(t *testing.T) {
	final := "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
	hostile := newRawOrigin(t, answering(fmt.Sprintf("HTTP/1.1 099 x\r\nContent-Length: %d\r\n\r\n%s%s", len(final), final, forged)))
	other := newOrigin(t, echo).pool(t)
	f := newFront(t, limits, func(x *relay.Exchange) {
		p := other
		if x.Request.URL.Path == "/hostile" {
			p = hostile.relayPool
		}
		forwardTo(p)(x)
	})
	t.Cleanup(hostile.disconnect)
	responses := f.exchange(t, "GET /hostile HTTP/1.1\r\nHost: x\r\n\r\n"+get, "GET", "GET")
	assert.Equal(t, 502, responses[0].StatusCode)
	assert.Equal(t, "GET /a ", content(t, responses[1]))
}

// Shutdown ends whatever an exchange is waiting for.
func TestShutdownCutsEverything(t *testing.T) {
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	for name, tc := range map[string]struct {
		said   string
		answer string
		after  func(*testing.T, *tls.Conn) // by the client, when the server has answered
	}{
		"a server that says nothing, and the next request": {said: get + "G"},
		"a body that the server does not read": {
			said: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n",
			after: func(t *testing.T, conn *tls.Conn) {
				t.Helper()
				require.NoError(t, conn.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
				for piece := make([]byte, 1<<16); ; { // until nobody takes any more
					if _, err := conn.Write(piece); err != nil {
						return
					}
				}
			},
		},
		"a stream of which the client has closed its half": {
			said:   "GET / HTTP/1.1\r\nHost: x\r\n" + upgrade,
			answer: "HTTP/1.1 101 Switching Protocols\r\n" + upgrade,
			after: func(t *testing.T, conn *tls.Conn) {
				t.Helper()
				_, err := conn.Read(make([]byte, 1))
				require.NoError(t, err)
				require.NoError(t, conn.CloseWrite())
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			arrived, quit := make(chan struct{}), make(chan struct{})
			o := newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					io.WriteString(conn, tc.answer)
					close(arrived)
				}
				<-quit
			})
			t.Cleanup(func() { close(quit) })
			f := o.front(t)
			conn := f.dial(t)
			_, err := io.WriteString(conn, tc.said)
			require.NoError(t, err)
			<-arrived
			if tc.after != nil {
				tc.after(t, conn)
			}
			done := make(chan error, 1)
			go func() { done <- f.shutdown(200 * time.Millisecond) }()
			select {
			case err := <-done:
				require.ErrorIs(t, err, relay.ErrCut)
			case <-time.After(patience):
				t.Fatal("Shutdown hangs")
			}
		})
	}
}

// Two goroutines must never read from one connection.
func TestUpgradeWithABody(t *testing.T) {
	o := newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(io.Discard, r)
		}
	})
	f := o.front(t)
	conn := f.dial(t)
	go func() {
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3000 {
			if _, err := io.WriteString(conn, "3\r\nabc\r\n"); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, 502, resp.StatusCode, "with a body, no change of protocol is asked for")
}

func TestStatusLineIsOurs(t *testing.T) {
	f := newRawOrigin(t, answering("HTTP/1.1 200 OK\rSet-Cookie: a=b\rX: \x00\x1b[31m\r\nContent-Length: 0\r\n\r\n")).front(t)
	conn := f.dial(t)
	io.WriteString(conn, get)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 200 OK\r\n", line)
}

func TestNoLengthWithoutABody(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
	} {
		resp := newRawOrigin(t, answering(answer)).front(t).exchange(t, get, "GET")[0]
		assert.Empty(t, resp.Header["Content-Length"], resp.Status)
	}
}

// After a body that is not one comes no request, even if the server has gone and
// nobody wants the rest of the body.
func TestMalformedBody(t *testing.T) {
	const smuggled = "ZZ\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	head := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	for name, server := range map[string]func(*tls.Conn, *bufio.Reader){
		"the server waits": func(_ *tls.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) },
		"the server answers and is gone": func(conn *tls.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err == nil {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				conn.NetConn().(*net.TCPConn).SetLinger(0)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newRawOrigin(t, server)
			var requests atomic.Int32
			f := newFront(t, limits, func(x *relay.Exchange) {
				requests.Add(1)
				forwardTo(o.relayPool)(x)
			})
			t.Cleanup(o.disconnect)
			conn := f.dial(t)
			_, err := io.WriteString(conn, head+smuggled)
			require.NoError(t, err)
			answers, _ := io.ReadAll(conn)
			assert.EqualValues(t, 1, requests.Load())
			assert.Equal(t, 1, strings.Count(string(answers), "HTTP/1.1 "), "%s", answers)
		})
	}
}

// What cannot be read as a request is told so, whatever part of it is at fault.
func TestMalformedRequests(t *testing.T) {
	for _, line := range []string{"GET @elsewhere/ HTTP/1.1", "GET http://[::1 HTTP/1.1", "GET / HTTP/x", "GET", "G=T / HTTP/1.1"} {
		f := newFront(t, limits, func(*relay.Exchange) { t.Errorf("%s reaches the handler", line) })
		conn := f.dial(t)
		_, err := io.WriteString(conn, line+"\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		got, _ := io.ReadAll(conn)
		assert.Regexp(t, `^HTTP/1\.1 400 `, string(got), line)
	}
}

// A bug in the handler leaves nothing open.
func TestPanicLeavesNothing(t *testing.T) {
	gone := make(chan struct{})
	o := newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
		defer close(gone)
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			io.Copy(io.Discard, r)
		}
	})
	f := newFront(t, limits, func(x *relay.Exchange) {
		_, err := x.Forward(o.relayPool, func(*http.Request) {})
		panic(fmt.Sprint("a bug: ", err))
	})
	conn := f.dial(t)
	io.WriteString(conn, get)
	rest, _ := io.ReadAll(conn)
	assert.Empty(t, rest)
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the connection to the server is still open")
	}
}

// What the server has been sent whole does not cost the client its connection.
func TestServerFailsAfterASmallBody(t *testing.T) {
	f := newRawOrigin(t, func(_ *tls.Conn, r *bufio.Reader) { http.ReadRequest(r) }).front(t)
	resp := f.exchange(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST")[0]
	assert.Equal(t, 502, resp.StatusCode)
	assert.False(t, resp.Close)
}

// exec over WebSocket is a GET. It is not carried out twice.
func TestUpgradeIsSentOnce(t *testing.T) {
	var upgrades atomic.Int32
	o := newRawOrigin(t, func(conn *tls.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") != "" {
				upgrades.Add(1)
				return // dies while it carries it out
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	f := o.front(t)
	f.exchange(t, get, "GET")
	resp := f.exchange(t, "GET /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET")[0]
	assert.Equal(t, 502, resp.StatusCode)
	assert.EqualValues(t, 1, upgrades.Load())
}

// Trailers of a request come after the guard has looked at its header.
func TestTrailersOfRequestsAreDropped(t *testing.T) {
	got := make(chan http.Header, 1)
	o := newOrigin(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		got <- r.Trailer
	})
	forwarding(t, o).exchange(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"+
		"3\r\nabc\r\n0\r\nX: y\r\nImpersonate-User: admin\r\nAuthorization: Bearer other\r\n\r\n", "POST")
	assert.Empty(t, <-got)
}

// Nobody waits for a body before he refuses it.
func TestRefusalDoesNotWait(t *testing.T) {
	f := newFront(t, limits, func(x *relay.Exchange) { x.Answer(answer(403, "no")) })
	resp := f.exchange(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", "POST")[0]
	assert.Equal(t, 403, resp.StatusCode)
	assert.True(t, resp.Close)
}
