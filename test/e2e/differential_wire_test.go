package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// TestDifferentialWire sends what Go's HTTP client would not: several requests at
// once before any answer is read, and other spellings of HTTP.
func TestDifferentialWire(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	const get = "GET {base}/version HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAudit-Id: e2e\r\n"
	for name, test := range map[string]struct {
		request   string
		responses int
	}{
		"as usual":         {get + "\r\n", 1},
		"other spelling":   {"GET {base}/version HTTP/1.1\r\nhost:{host}\r\nAUTHORIZATION:Bearer {token}\r\naudit-id:\te2e \r\n\r\n", 1},
		"connection close": {get + "Connection: close\r\n\r\n", 1},
		"pipelined":        {strings.Repeat(get+"\r\n", 5), 5},
		"pipelined, one with a body and one that is not found": {
			get + "\r\n" + "POST {base}/none HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAudit-Id: e2e\r\nContent-Length: 4\r\n\r\nbody" + get + "\r\n", 3,
		},
		"HTTP/1.0":             {"GET {base}/version HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAudit-Id: e2e\r\n\r\n", 1},
		"HTTP/1.0, large":      {"GET {base}/openapi/v2 HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAudit-Id: e2e\r\n\r\n", 1},
		"HTTP/1.0, keep-alive": {"GET {base}/version HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\nAuthorization: Bearer {token}\r\nAudit-Id: e2e\r\n\r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			want := ways[0].send(t, test.request, test.responses)
			for _, w := range ways[1:] {
				assert.Equal(t, want, w.send(t, test.request, test.responses), w.name)
			}
		})
	}
}

// send writes all of the requests at once on a new connection and reads the
// responses.
func (w *way) send(t *testing.T, requests string, responses int) (got []answer) {
	t.Helper()
	server, err := url.Parse(w.config.Host)
	require.NoError(t, err)
	conn := w.dial(t, server.Host)
	defer conn.Close()
	_, err = io.WriteString(conn, strings.NewReplacer("{base}", server.Path, "{host}", server.Host, "{token}", w.config.BearerToken).Replace(requests))
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	for range responses {
		resp, err := http.ReadResponse(reader, nil)
		require.NoError(t, err, w.name)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err, w.name)
		resp.Header.Del("Date")
		got = append(got, answer{
			// Kept open or not is part of what HTTP/1.0 is about.
			Informational: []string{resp.Proto, fmt.Sprint("close: ", resp.Close)},
			Status:        resp.StatusCode, Header: resp.Header, Length: resp.ContentLength, Body: string(body),
		})
	}
	return got
}

// dial connects to a server. Where there is a proxy, the first bytes for the
// server are sent together with the CONNECT.
func (w *way) dial(t *testing.T, server string) net.Conn {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(w.config)
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(server)
	require.NoError(t, err)
	tlsConfig.ServerName = host
	at, head := server, ""
	if w.config.Proxy != nil {
		proxy, err := w.config.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: server}})
		require.NoError(t, err)
		at = proxy.Host
		password, _ := proxy.User.Password()
		head = "CONNECT " + server + " HTTP/1.1\r\nHost: " + server + "\r\nProxy-Authorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)) + "\r\n\r\n"
	}
	conn, err := net.Dial("tcp", at)
	require.NoError(t, err)
	return tls.Client(&eagerConn{Conn: conn, head: head, reader: bufio.NewReader(conn)}, tlsConfig)
}

// eagerConn writes the head of a CONNECT with the first bytes that are written,
// and takes its response away from the first that are read.
type eagerConn struct {
	net.Conn
	head   string
	asked  bool
	reader *bufio.Reader
}

func (c *eagerConn) Write(p []byte) (int, error) {
	if c.head == "" {
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(append([]byte(c.head), p...))
	c.head, c.asked = "", true
	return len(p), err
}

func (c *eagerConn) Read(p []byte) (int, error) {
	if c.asked {
		c.asked = false
		resp, err := http.ReadResponse(c.reader, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return 0, err
		}
		if resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("CONNECT: %s", resp.Status)
		}
	}
	return c.reader.Read(p)
}
