package ambassador

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// tunnel is the connection of a client whose CONNECT was accepted.
type tunnel struct {
	net.Conn
	route     *route
	authority string // the normal form of what the client asked for
}

// prefix implements view. A client may have the connector's first address in
// mind or the current one. Where both fit, the longer prefix is meant.
func (t *tunnel) prefix(req *http.Request, current connector.Address) (string, *statusError) {
	if host, err := normalAuthority(req.Host); err != nil || host != t.authority {
		return "", misdirected(fmt.Sprintf("this tunnel is for %s, not %.200q", t.authority, req.Host))
	}
	path := req.URL.EscapedPath()
	prefix, inside := "", false
	for _, address := range []connector.Address{current, t.route.first} {
		normal, err := normalAuthority(address.Authority())
		if err != nil || normal != t.authority || !below(path, address.Prefix()) {
			continue
		}
		if !inside || len(address.Prefix()) > len(prefix) {
			prefix, inside = address.Prefix(), true
		}
	}
	if !inside {
		return "", forbidden(fmt.Sprintf("connector %s is for paths below %s/ only", t.route.ref, current.Prefix()))
	}
	return prefix, nil
}

// relocate implements view. The client knows the server by its own name, so that
// what the server says is right.
func (t *tunnel) relocate(*http.Response, connector.Address) {}

type tunnelKey struct{}

// withTunnel is the ConnContext of the inner server.
func withTunnel(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn).NetConn().(*tunnel); ok {
		return context.WithValue(ctx, tunnelKey{}, t)
	}
	return ctx
}

// tunnelOf is the tunnel that a request came through, nil if it came to the
// localhost port.
func tunnelOf(ctx context.Context) *tunnel {
	t, _ := ctx.Value(tunnelKey{}).(*tunnel)
	return t
}

// tunnelListener hands tunnels to the inner server as if it had accepted them.
type tunnelListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newTunnelListener() *tunnelListener {
	return &tunnelListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// serve hands t over. The server makes the TLS handshake, within its timeout.
func (l *tunnelListener) serve(t *tunnel, config *tls.Config) {
	select {
	case l.conns <- tls.Server(t, config):
	case <-l.closed:
		t.Close()
	}
}

// Accept implements net.Listener.
func (l *tunnelListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *tunnelListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *tunnelListener) Addr() net.Addr { return tunnelAddr{} }

type tunnelAddr struct{}

func (tunnelAddr) Network() string { return "tunnel" }
func (tunnelAddr) String() string  { return "tunnel" }

// replayWriter is a ResponseWriter whose hijacked connection starts with what
// the server has already read: clients may send on without waiting for the
// answer, and neither goproxy nor ReverseProxy looks at the buffered reader.
type replayWriter struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController find Flush and the deadlines.
func (w replayWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w replayWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early := make([]byte, n)
		if _, err := io.ReadFull(rw.Reader, early); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		conn = &replayConn{Conn: conn, early: early}
	}
	return conn, rw, nil
}

// replayConn reads early first.
type replayConn struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite keeps half-close, which exec with stdin needs over SPDY.
func (c *replayConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
