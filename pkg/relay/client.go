package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	bufferSize = 4 << 10
	// lingerTimeout is how long a client that is still sending may take to read
	// the answer, before the connection is closed under it.
	lingerTimeout = 2 * time.Second
)

// client is a client's connection.
type client struct {
	server *Server
	conn   *tls.Conn
	in     boundedReader // conn, for r
	r      *bufio.Reader // nil while a watch goes on
	w      writer
	state  atomic.Int32
	large  bool // has one of the places for large headers
	// current is the exchange that cut ends.
	current atomic.Pointer[Exchange]
}

// The states of a client.
const (
	idle    int32 = iota // waits for a request
	active               // has one
	closing              // takes no further one
)

func newClient(s *Server, conn *tls.Conn) *client {
	c := &client{server: s, conn: conn, w: writer{conn: conn}}
	c.in = boundedReader{reader: conn, left: math.MaxInt}
	c.r = bufio.NewReaderSize(&c.in, bufferSize)
	return c
}

// serve takes one request after the other.
func (c *client) serve(handle Handler) {
	if err := c.conn.SetDeadline(time.Now().Add(c.server.Limits.HeaderTimeout)); err != nil {
		return
	}
	if err := c.server.handshake(context.Background(), c.conn); err != nil { // within the deadline
		c.server.Log.Debug("a client's TLS handshake failed", "error", err.Error())
		answerPlainHTTP(err)
		return
	}
	if err := c.conn.SetWriteDeadline(time.Time{}); err != nil {
		return
	}
	for {
		req, refusal := c.next()
		if req == nil && refusal == nil {
			c.forget(nil)
			return
		}
		x := &Exchange{Request: req, client: c}
		if refusal != nil {
			x.close = true
			x.Answer(refusal)
			x.end()
			return
		}
		c.current.Store(x)
		if c.state.Load() == closing || !x.run(handle) || !c.state.CompareAndSwap(active, idle) {
			return
		}
		if c.server.draining.Load() {
			return // Shutdown may have seen it before it was idle
		}
	}
}

// next reads a request. Without one and without a refusal the client is gone, or
// has been idle for too long.
func (c *client) next() (*http.Request, *http.Response) {
	limits := &c.server.Limits
	if c.setReadDeadline(limits.IdleTimeout) != nil {
		return nil, nil
	}
	if _, err := c.r.Peek(1); err != nil || !c.state.CompareAndSwap(idle, active) {
		return nil, nil
	}
	// Most headers are there in one piece. Others are bounded in time and number.
	if !c.headerThere() {
		if c.setReadDeadline(limits.HeaderTimeout) != nil {
			return nil, nil
		}
		if c.r.Buffered() == 1 { // lookAhead has read it alone
			_, _ = c.r.Peek(2) // its error is the one of ReadRequest
		}
		if !c.headerThere() && !c.admitLarge() {
			return nil, c.server.Refuse(http.StatusRequestHeaderFieldsTooLarge, "too many large headers come at the same time")
		}
	}
	c.in.left = limits.RequestHeader
	req, err := http.ReadRequest(c.r)
	exceeded := c.in.left <= 0
	c.in.left = math.MaxInt
	switch {
	case err == nil:
		return c.check(req)
	case exceeded:
		return nil, c.server.Refuse(http.StatusRequestHeaderFieldsTooLarge, "the header of the request is too large")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isNetwork(err):
		return nil, nil // nobody is left to tell
	default:
		// Without the error, which quotes the request.
		return nil, c.server.Refuse(http.StatusBadRequest, "this is not an HTTP/1.1 request")
	}
}

// headerThere reports whether a whole header has been read into r.
func (c *client) headerThere() bool {
	there, _ := c.r.Peek(c.r.Buffered())
	return bytes.Contains(there, []byte("\r\n\r\n"))
}

// admitLarge waits for one of the places for large headers.
func (c *client) admitLarge() bool {
	timeout := time.NewTimer(c.server.Limits.HeaderTimeout)
	defer timeout.Stop()
	select {
	case c.server.large <- struct{}{}:
		c.large = true
		return true
	case <-timeout.C:
		return false
	}
}

// forget lets go of the memory of a request's header, and of its place.
func (c *client) forget(req *http.Request) {
	if req != nil {
		req.Header = nil
	}
	if c.large {
		c.large = false
		<-c.server.large
	}
}

// check is what net/http's Server checks beyond what ReadRequest does.
func (c *client) check(req *http.Request) (*http.Request, *http.Response) {
	if req.ProtoMajor != 1 {
		return nil, c.server.Refuse(http.StatusHTTPVersionNotSupported, "only HTTP/1.1 is spoken here")
	}
	if req.ProtoAtLeast(1, 1) && req.Host == "" && req.Method != http.MethodConnect || !httpguts.ValidHostHeader(req.Host) {
		return nil, c.server.Refuse(http.StatusBadRequest, "the request has no valid Host header")
	}
	lines := 0
	for name, values := range req.Header {
		lines += len(values)
		valid := httpguts.ValidHeaderFieldName(name)
		for _, value := range values {
			valid = valid && httpguts.ValidHeaderFieldValue(value)
		}
		if !valid {
			return nil, c.server.Refuse(http.StatusBadRequest, "a header of the request is not valid")
		}
	}
	if lines > c.server.Limits.HeaderLines {
		return nil, c.server.Refuse(http.StatusRequestHeaderFieldsTooLarge, "the header of the request has too many lines")
	}
	return req, nil
}

// setReadDeadline is for the next reads of r, which no other goroutine is in.
func (c *client) setReadDeadline(timeout time.Duration) error {
	if timeout == 0 {
		return c.conn.SetReadDeadline(time.Time{})
	}
	return c.conn.SetReadDeadline(time.Now().Add(timeout))
}

// linger lets a client that is still sending read the answer: it would be lost if
// the connection were closed with something unread in it.
func (c *client) linger() {
	if c.conn.CloseWrite() != nil {
		return
	}
	if half, ok := c.conn.NetConn().(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if c.conn.NetConn().SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, c.conn.NetConn()) // bounded in time only: the client may be fast
	}
}

// close ends the connection as TLS wants it, without waiting for the client.
func (c *client) close() { _ = c.conn.Close() }

// cut ends the connection whatever it is doing.
func (c *client) cut() {
	c.state.Store(closing)
	_ = c.conn.NetConn().Close()
	if x := c.current.Load(); x != nil {
		x.abort.call()
	}
}

// endIfIdle ends the connection unless it has a request.
func (c *client) endIfIdle() {
	if c.state.CompareAndSwap(idle, closing) {
		_ = c.conn.NetConn().Close()
	}
}

// boundedReader stops a header that does not end.
type boundedReader struct {
	reader io.Reader
	left   int     // bytes that may still be read
	ahead  [1]byte // read by lookAhead
	looked bool    // there is something in ahead
}

// lookAhead waits for a byte, and keeps it for Read.
func (b *boundedReader) lookAhead() error {
	if b.looked {
		return nil
	}
	n, err := b.reader.Read(b.ahead[:])
	b.looked = n > 0
	return err
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	if len(p) > b.left {
		p = p[:b.left]
	}
	if b.looked && len(p) > 0 {
		b.looked = false
		b.left--
		return copy(p, b.ahead[:]), nil
	}
	n, err := b.reader.Read(p)
	b.left -= n
	return n, err
}

// isNetwork reports whether err is one of the connection, a timeout included.
func isNetwork(err error) bool {
	if target := (*url.Error)(nil); errors.As(err, &target) {
		return false // it has the methods of a net.Error, and is about what the client wrote
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) || isTimeout(err)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// answerPlainHTTP tells a client that speaks HTTP where TLS is wanted.
func answerPlainHTTP(err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.Conn == nil || header.RecordHeader[0] < 'A' || header.RecordHeader[0] > 'Z' {
		return
	}
	_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nthis port speaks TLS: use https\n")
}
