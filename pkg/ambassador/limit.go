package ambassador

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// tooMany tells a client that speaks plain HTTP why its connection is closed.
const tooMany = "HTTP/1.1 503 too many connections to the connector proxy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// boundedListener refuses connections beyond a bound. Several listeners may
// share one count.
type boundedListener struct {
	net.Listener
	open    *atomic.Int64
	most    int64
	refusal string // sent as it is; "" where clients speak TLS
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &countedConn{Conn: conn, open: l.open}, nil
		}
		l.open.Add(-1)
		// Best effort: the answer fits into the empty send buffer.
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, l.refusal)
		conn.Close()
	}
}

// countedConn takes itself off the count when it is closed.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection without cutting off the response.
func (c *countedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
