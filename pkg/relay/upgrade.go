package relay

import (
	"io"
	"net/http"
	"time"
)

// switchProtocols ends the HTTP part of a connection: what either side sends from
// here on goes to the other as it is. Each can end its own half first.
func (x *Exchange) switchProtocols(resp *http.Response) {
	s, c := x.server, x.client
	x.close = true
	delete(resp.Header, "Content-Length")
	x.writeHead(resp)
	err := c.w.Flush()
	x.unwatch()
	s.exchange = nil // reads end with the connections now, and with nothing else
	if err != nil || c.setReadDeadline(0) != nil || s.conn.SetReadDeadline(time.Time{}) != nil {
		return
	}
	cut := func() {
		s.close()
		c.cut()
	}
	done := make(chan struct{})
	go c.server.guard(func() {
		defer close(done)
		if pass(s.conn, c.r) != nil {
			cut()
		}
	})
	sent := &counter{Writer: c.conn}
	if pass(halfCloser{sent, c.conn}, s.r) != nil {
		cut()
	}
	<-done
	x.bytes = sent.n
}

// pass copies one direction to its end, and ends it on the other side.
func pass(to writeCloser, from io.Reader) error {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	// Without WriteTo, which would copy through the small buffer of a bufio.Reader.
	if _, err := io.CopyBuffer(to, struct{ io.Reader }{from}, *buffer); err != nil {
		return err
	}
	return to.CloseWrite()
}

type writeCloser interface {
	io.Writer
	CloseWrite() error
}

type halfCloser struct {
	io.Writer
	half interface{ CloseWrite() error }
}

// CloseWrite implements writeCloser.
func (h halfCloser) CloseWrite() error { return h.half.CloseWrite() }

// counter counts what is written.
type counter struct {
	io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}
