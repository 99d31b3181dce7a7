package ambassador

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// tunnel is the API server as a client sees it whose CONNECT was accepted.
type tunnel struct {
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

// replayWriter is a ResponseWriter whose hijacked connection starts with what
// the server has already read: clients may send on without waiting for the
// answer, and goproxy does not look at the buffered reader.
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

// CloseWrite ends what is sent without cutting off what comes.
func (c *replayConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
