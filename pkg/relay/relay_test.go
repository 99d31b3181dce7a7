package relay_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/relay"
)

// after is a context that ends by itself.
func after(timeout time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
}

const get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

func TestRequestsOfOneConnectionFollowEachOther(t *testing.T) {
	o := newOrigin(t, echo)
	f := forwarding(t, o)
	chunked := "PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
	responses := f.exchange(t,
		get+"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"+chunked+"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n"+get,
		"GET", "POST", "PUT", "HEAD", "GET")
	var got []string
	for _, resp := range responses {
		assert.Equal(t, 200, resp.StatusCode)
		got = append(got, content(t, resp))
	}
	assert.Equal(t, []string{"GET /a ", "POST /b abc", "PUT /c abcde", "", "GET /a "}, got)
	assert.EqualValues(t, len("HEAD /d "), responses[3].ContentLength, "of HEAD, the length of what is not there")
	assert.Equal(t, 1, o.connections(), "a connection is used again")
}

// Of an empty response nothing is waited for: the connection stays open.
func TestEmptyResponses(t *testing.T) {
	o := newRawOrigin(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	responses := o.front(t).exchange(t, get+get, "GET", "GET")
	assert.Empty(t, content(t, responses[0]))
	assert.Equal(t, "real", content(t, responses[1]))
}

// A response that lets itself be waited for has the relay look at what its client
// does. What the client says meanwhile is its next request.
func TestRequestsWhileAResponseIsWaitedFor(t *testing.T) {
	for name, body := range map[string]string{"without a body": "", "with one": "abc"} {
		t.Run(name, func(t *testing.T) {
			arrived, answer := make(chan struct{}, 2), make(chan struct{})
			o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-answer
				echo(w, r)
			})
			conn := forwarding(t, o).dial(t)
			first := fmt.Sprintf("PUT /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			for _, said := range []string{first, get} {
				_, err := io.WriteString(conn, said)
				require.NoError(t, err)
				if said == first {
					<-arrived
					// Longer than the relay waits for a response before it watches its client.
					<-time.After(150 * time.Millisecond)
				}
			}
			close(answer)
			r := bufio.NewReader(conn)
			for _, want := range []string{"PUT /first " + body, "GET /a "} {
				resp, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				assert.Equal(t, want, content(t, resp))
			}
		})
	}
}

func TestConnectionsAreShared(t *testing.T) {
	o := newOrigin(t, echo)
	f := forwarding(t, o)
	for range 20 {
		f.exchange(t, get, "GET")
	}
	// Longer than the relay waits for a response before it watches its client.
	<-time.After(150 * time.Millisecond)
	f.exchange(t, get, "GET")
	assert.Equal(t, 1, o.connections())
}

// A server may close an idle connection at any time. Nobody notices, but for
// requests that it may have carried out.
func TestServerClosesIdleConnections(t *testing.T) {
	o := newOrigin(t, echo)
	f := forwarding(t, o)
	for range 10 {
		resp := f.exchange(t, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST")[0]
		require.Equal(t, 200, resp.StatusCode)
		o.CloseClientConnections()
	}
	assert.Equal(t, 10, o.connections())
}

// The server takes the request and closes without a word: a GET can be sent again,
// a POST cannot.
func TestServerClosesWithoutAWord(t *testing.T) {
	for method, want := range map[string]struct {
		code                      int
		retries, handshakes, open int64
	}{"GET": {200, 1, 2, 1}, "POST": {502, 0, 1, 0}} {
		t.Run(method, func(t *testing.T) {
			requests := 0
			o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				if requests == 2 {
					panic(http.ErrAbortHandler)
				}
				echo(w, r)
			})
			pool, counts := o.pool(t), &relay.Counts{}
			pool.Counts = counts
			f := newFront(t, limits, forwardTo(pool))
			require.Equal(t, 200, f.exchange(t, get, "GET")[0].StatusCode)
			assert.Equal(t, int64(1), counts.Open.Load())
			resp := f.exchange(t, method+" /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method)[0]
			assert.Equal(t, want.code, resp.StatusCode)
			assert.Equal(t, want.retries, counts.Retries.Load())
			assert.Equal(t, want.handshakes, counts.Handshakes.Load())
			assert.Equal(t, want.open, counts.Open.Load())
			pool.Close()
			assert.Zero(t, counts.Open.Load())
		})
	}
}

// An answer may come before the body has been read.
func TestEarlyAnswer(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	f := forwarding(t, o)
	conn := f.dial(t)
	go func() {
		io.WriteString(conn, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
		for piece := strings.Repeat("x", 1<<16); ; {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	assert.True(t, resp.Close)
}

// It reaches a client that has not sent half of it yet.
func TestEarlyAnswerReachesTheClient(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	f := forwarding(t, o)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	body := strings.Repeat(" ", 8<<20)
	for range 20 {
		resp, err := client.Post("https://"+f.address, "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	}
}

// Nothing that the handler refuses keeps the connection from its next request, if
// the body is small.
func TestRefusedBody(t *testing.T) {
	f := newFront(t, limits, func(x *relay.Exchange) { x.Answer(answer(403, "no")) })
	responses := f.exchange(t, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"+get, "POST", "GET")
	assert.Equal(t, 403, responses[1].StatusCode)
	large := f.exchange(t, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc", "POST")
	assert.True(t, large[0].Close)
	expecting := f.exchange(t, "POST /b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "POST")
	assert.True(t, expecting[0].Close, "nobody waits for a body that will not come")
}

// Events arrive as they are sent, and so does the end of a client that waits.
func TestEventsAreNotHeldBack(t *testing.T) {
	events, gone := make(chan string), make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		for {
			select {
			case e := <-events:
				io.WriteString(w, e)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				close(gone)
				return
			}
		}
	})
	f := forwarding(t, o)
	conn := f.dial(t)
	io.WriteString(conn, get)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	for _, size := range []int{1, 10, 5000, 20000, 1, 100000} {
		event := strings.Repeat("e", size)
		events <- event
		got := make([]byte, size)
		_, err := io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		assert.Equal(t, event, string(got))
	}
	conn.Close()
	select {
	case <-gone:
	case <-time.After(time.Second):
		t.Fatal("the server is not told that the client is gone")
	}
}

func TestInterimResponses(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	})
	f := forwarding(t, o)
	responses := f.exchange(t, get+get, "GET", "GET", "GET", "GET")
	assert.Equal(t, 103, responses[0].StatusCode)
	assert.Equal(t, "</style.css>", responses[0].Header.Get("Link"))
	assert.Equal(t, 204, responses[1].StatusCode)
	assert.Equal(t, 103, responses[2].StatusCode)
	assert.Equal(t, 204, responses[3].StatusCode)
	old := f.exchange(t, "GET /a HTTP/1.0\r\n\r\n", "GET")
	assert.Equal(t, 204, old[0].StatusCode, "HTTP/1.0 knows no interim responses")
}

func TestOldClients(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		http.NewResponseController(w).Flush()
		io.WriteString(w, "no length")
	})
	conn := forwarding(t, o).dial(t)
	io.WriteString(conn, "GET /a HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Empty(t, resp.TransferEncoding)
	assert.True(t, resp.Close)
	assert.Equal(t, "no length", content(t, resp))
}

// A response that breaks off must not look like a whole one.
func TestBrokenResponse(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "the begin")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	conn := forwarding(t, o).dial(t)
	io.WriteString(conn, get)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "the begin", string(got))
}

func TestHeadersAreBounded(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			w.Header().Set("X", strings.Repeat("x", 100<<10))
		}
	})
	f := forwarding(t, o)
	resp := f.exchange(t, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n", "GET")[0]
	assert.Equal(t, 502, resp.StatusCode)
	assert.Contains(t, content(t, resp), "too large")
	resp = f.exchange(t, "GET /a HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 32<<10)+"\r\n\r\n", "GET")[0]
	assert.Equal(t, 431, resp.StatusCode)
	assert.True(t, resp.Close)
}

// Clients that send large headers and never finish do not use up the memory, and
// do not keep others from their small ones.
func TestLargeHeadersAreFew(t *testing.T) {
	o := newOrigin(t, echo)
	f := forwarding(t, o)
	first := f.dial(t)
	large := "GET /a HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 12<<10)
	_, err := io.WriteString(first, large)
	require.NoError(t, err)
	// A second one waits, and finds its place when the first one gives up.
	served := func(conn net.Conn, within time.Duration) bool {
		require.NoError(t, conn.SetDeadline(time.Now().Add(within)))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && resp.StatusCode == http.StatusOK
	}
	var second net.Conn
	require.Eventually(t, func() bool {
		second = f.dial(t)
		io.WriteString(second, large+"\r\n\r\n")
		return !served(second, 200*time.Millisecond)
	}, patience, time.Millisecond, "a second one is read at the same time")
	assert.Equal(t, 200, f.exchange(t, get, "GET")[0].StatusCode)
	require.NoError(t, first.Close())
	assert.True(t, served(second, patience), "the place is not given back")

	resp := f.exchange(t, "GET /a HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X: y\r\n", 60)+"\r\n", "GET")[0]
	assert.Equal(t, 431, resp.StatusCode, "short lines are large in memory")
}

// Neither a client that says nothing nor one that takes its time is waited for.
func TestSlowClients(t *testing.T) {
	o := newOrigin(t, echo)
	p := o.pool(t)
	quick := relay.Limits{RequestHeader: 1 << 10, HeaderLines: 50, LargeHeaders: 1, HeaderTimeout: 500 * time.Millisecond, IdleTimeout: 200 * time.Millisecond}
	f := newFront(t, quick, func(x *relay.Exchange) {
		if resp, err := x.Forward(p, func(*http.Request) {}); err == nil {
			x.Answer(resp)
		}
	})
	for name, said := range map[string]string{"nothing": "", "half a header": "GET /a HTTP/1.1\r\nHost:", "one request": get} {
		t.Run(name, func(t *testing.T) {
			conn := f.dial(t)
			io.WriteString(conn, said)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err, "the connection is not ended")
			assert.Equal(t, name == "one request", len(answer) > 0)
		})
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	f := newFront(t, limits, func(x *relay.Exchange) {
		if x.Request.URL.Path == "/bug" {
			panic("a bug")
		}
		x.Answer(answer(200, "fine"))
	})
	conn := f.dial(t)
	io.WriteString(conn, "GET /bug HTTP/1.1\r\nHost: x\r\n\r\n")
	rest, _ := io.ReadAll(conn)
	assert.Empty(t, rest)
	assert.Contains(t, f.log.String(), "a bug")
	assert.Equal(t, 200, f.exchange(t, get, "GET")[0].StatusCode)
}

func TestShutdown(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-finish
		echo(w, r)
	})
	f := forwarding(t, o)
	waiting, busy := f.dial(t), f.dial(t)
	io.WriteString(busy, get)
	<-arrived
	done := make(chan error)
	go func() { done <- f.shutdown(patience) }()
	_, err := waiting.Read(make([]byte, 1))
	require.Error(t, err, "a connection without a request is ended at once")
	close(finish)
	resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
	require.NoError(t, err)
	assert.Equal(t, "GET /a ", content(t, resp))
	require.NoError(t, <-done)
}

func TestShutdownCuts(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	})
	f := forwarding(t, o)
	conn := f.dial(t)
	io.WriteString(conn, get)
	<-arrived
	require.ErrorIs(t, f.shutdown(10*time.Millisecond), relay.ErrCut)
	<-gone
}

// A server that changes to another protocol than was asked for has not understood.
func TestUnwantedUpgrade(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			defer conn.Close()
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			rw.Flush()
		}
	})
	f := forwarding(t, o)
	for _, header := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
		resp := f.exchange(t, "GET /a HTTP/1.1\r\nHost: x\r\n"+header+"\r\n", "GET")[0]
		assert.Equal(t, 502, resp.StatusCode)
	}
}
