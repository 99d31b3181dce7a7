package proxybench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// patience is how long an answer may take.
const patience = 20 * time.Second

// target is how a client reaches the upstream server.
type target struct {
	address       string      // to connect to
	connect       string      // a CONNECT request to send first, or ""
	tls           *tls.Config // nil for plain HTTP
	host          string
	prefix        string // of paths
	authorization string // or ""
}

// request is a request without a body. Connections are kept.
func (t *target) request(method, path string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n", method, t.prefix, path, t.host)
	if t.authorization != "" {
		fmt.Fprintf(&b, "Authorization: %s\r\n", t.authorization)
	}
	if method == http.MethodPost {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// conn is a client's connection. It does as little as can be done, so that the
// proxies' share of the machine is large: net/http's client costs more than
// they do.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (t *target) dial(ctx context.Context) (*conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	// One deadline for all that follows, until who uses it sets another.
	err = c.SetDeadline(time.Now().Add(patience))
	if err == nil && t.connect != "" {
		err = openTunnel(c, t.connect)
	}
	if err == nil && t.tls != nil {
		secure := tls.Client(c, t.tls)
		err = secure.HandshakeContext(ctx)
		c = secure
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReader(c)}, nil
}

func openTunnel(c net.Conn, request string) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	// The server is silent after its answer: nothing is lost in the reader.
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy answered CONNECT with %s", resp.Status)
	}
	return nil
}

var (
	statusOK      = []byte("HTTP/1.1 200")
	contentLength = []byte("content-length:")
)

// head sends a request and reads the head of its answer. The length of what
// follows is -1 if the answer does not say it.
func (c *conn) head(request []byte) (length int64, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, statusOK) {
		return 0, fmt.Errorf("the answer is %q", bytes.TrimSpace(line))
	}
	for length = -1; ; {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return length, nil
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			value := bytes.TrimSpace(line[len(contentLength):])
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return 0, err
			}
		}
	}
}

// do sends a request and reads its answer to the end.
func (c *conn) do(request []byte) error {
	length, err := c.head(request)
	if err != nil {
		return err
	}
	if length < 0 {
		return errors.New("the answer has no length")
	}
	_, err = c.r.Discard(int(length))
	return err
}
