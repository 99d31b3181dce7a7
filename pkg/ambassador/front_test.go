package ambassador_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

func TestConnectIsAuthenticated(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	token := r.identity.Token()

	for name, tc := range map[string]struct {
		authorization string
		code          int
		phrase        string
	}{
		"decoded user":          {basic("team-a/cluster", token), 200, ""},
		"escaped user":          {basic("team-a%2Fcluster", token), 200, ""},
		"user escaped in lower": {basic("team-a%2fcluster", token), 200, ""},
		"underscore":            {basic("team-a_cluster", token), 200, ""},
		"scheme in lower case":  {strings.Replace(basic("team-a/cluster", token), "Basic", "basic", 1), 200, ""},
		"none":                  {"", 407, "use the proxy-url of the kubeconfig"},
		"wrong token":           {basic("team-a/cluster", similar(token)), 407, "wrong temporary token"},
		"empty token":           {basic("team-a/cluster", ""), 407, "wrong temporary token"},
		"longer token":          {basic("team-a/cluster", token+"x"), 407, "wrong temporary token"},
		"another connector":     {basic("team-a/other", token), 407, "is not served here"},
		"no connector":          {basic("", token), 407, "is not served here"},
		"bearer":                {"Bearer " + token, 407, "malformed Proxy-Authorization"},
		"not base64":            {"Basic ***", 407, "malformed Proxy-Authorization"},
		"no colon":              {"Basic dGVhbS1h", 407, "malformed Proxy-Authorization"},
		"twice": {basic("team-a/cluster", token) + "\r\nProxy-Authorization: " + basic("team-a/cluster", token),
			407, "use the proxy-url of the kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			_, resp := r.connect(t, r.address.Authority(), tc.authorization)
			assert.Equal(t, tc.code, resp.StatusCode)
			if tc.code == 200 {
				return
			}
			assert.Contains(t, resp.Status, tc.phrase)
			assert.Contains(t, resp.Header.Get("Proxy-Authenticate"), "Basic")
			assert.NotContains(t, resp.Status+body(t, resp), token)
		})
	}
	assert.Empty(t, up.requests())
}

func TestConnectIsPinned(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, address(t, "https://api.example.com"), newSource(up.snapshot()))

	for authority, accepted := range map[string]bool{
		"api.example.com:443":             true,
		"API.Example.COM:443":             true,
		"api.example.com":                 true,
		"api.example.com.:443":            true,
		"api.example.com..:443":           false,
		"api.example.com:6443":            false,
		"api.example.com:0443":            false,
		"api.example.com:":                false,
		"evil.example:443":                false,
		"api.example.com.evil.test:443":   false,
		"evil@api.example.com:443":        false,
		"api.example.com:443@evil:443":    false,
		"[api.example.com]:443":           false,
		"127.0.0.1:443":                   false,
		"[::1]:443":                       false,
		"/api":                            false,
		"http://api.example.com:443":      false,
		"api.example.com:443/":            false,
		"api.example.com%2eevil.test:443": false,
	} {
		t.Run(authority, func(t *testing.T) {
			_, resp := r.connect(t, authority, r.authorization())
			if accepted {
				assert.Equal(t, 200, resp.StatusCode)
				return
			}
			// net/http refuses some itself, before anybody is asked.
			assert.Contains(t, []int{400, 403}, resp.StatusCode)
			if resp.StatusCode == http.StatusForbidden {
				assert.Contains(t, resp.Status, "connector team-a/cluster is for api.example.com:443, not ")
			}
		})
	}
}

func TestAuthorityOfIPv6(t *testing.T) {
	r := start(t, address(t, "https://[2001:DB8:0::1]:6443"), newSource(newUpstream(t, ok).snapshot()))
	for authority, code := range map[string]int{
		"[2001:db8::1]:6443":         200,
		"[2001:0db8:0:0:0::1]:6443":  200,
		"[2001:db8::2]:6443":         403,
		"[2001:db8::1%25eth0]:6443":  403,
		"[2001:db8::1]:6443:6443":    403,
		"[::ffff:203.0.113.1]:6443":  403,
		"[2001:db8::1]evil.com:6443": 403,
	} {
		conn, err := net.Dial("tcp", r.proxy)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: %s\r\n\r\n", authority, r.authorization())
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		require.NoError(t, err)
		resp.Body.Close()
		if code == 200 {
			assert.Equal(t, 200, resp.StatusCode, authority)
		} else {
			assert.Contains(t, []int{400, 403}, resp.StatusCode, authority)
		}
	}
}

func TestConnectWithBodyIsRefused(t *testing.T) {
	r := start(t, address(t, "https://api.example.com"), newSource(newUpstream(t, ok).snapshot()))
	for _, header := range []string{"Content-Length: 3", "Transfer-Encoding: chunked"} {
		_, resp := r.connect(t, "api.example.com:443", r.authorization()+"\r\n"+header)
		assert.Equal(t, 400, resp.StatusCode, header)
	}
}

// The port must not be a relay to anywhere.
func TestOnlyConnectIsTaken(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	var reached sync.Map
	open := http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store("anywhere", true) })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go open.Serve(l)
	defer open.Close()

	for _, line := range []string{
		"GET http://" + l.Addr().String() + "/ HTTP/1.1",
		"GET https://" + r.address.Authority() + "/api HTTP/1.1",
		"POST http://" + l.Addr().String() + "/ HTTP/1.1",
		"GET /api HTTP/1.1",
		"OPTIONS * HTTP/1.1",
	} {
		conn, err := net.Dial("tcp", r.proxy)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "%s\r\nHost: %s\r\nProxy-Authorization: %s\r\nContent-Length: 0\r\n\r\n", line, l.Addr(), r.authorization())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, resp.StatusCode, 400, line)
		assert.Less(t, resp.StatusCode, 500, line)
		resp.Body.Close()
	}
	_, relayed := reached.Load("anywhere")
	assert.False(t, relayed)
	assert.Empty(t, up.requests())
}

// Clients may send their ClientHello without waiting for the 200.
func TestBytesRightBehindConnect(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))

	conn, err := net.Dial("tcp", r.proxy)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	eager := &eagerConn{Conn: conn, first: []byte(fmt.Sprintf(
		"CONNECT %s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: %s\r\n\r\n", r.address.Authority(), r.authorization()))}
	inner := tls.Client(eager, r.clientTLS())
	_, err = io.WriteString(inner, "GET /api HTTP/1.1\r\nHost: "+r.address.Authority()+"\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(inner), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "ok", body(t, resp))
}

// eagerConn sends the CONNECT request and the first write in one packet, and
// swallows the answer.
type eagerConn struct {
	net.Conn
	first []byte
	read  *bufio.Reader
}

func (c *eagerConn) Write(p []byte) (int, error) {
	if c.first == nil {
		return c.Conn.Write(p)
	}
	all := append(bytes.Clone(c.first), p...)
	c.first = nil
	if _, err := c.Conn.Write(all); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *eagerConn) Read(p []byte) (int, error) {
	if c.read == nil {
		c.read = bufio.NewReader(c.Conn)
		if _, err := http.ReadResponse(c.read, &http.Request{Method: http.MethodConnect}); err != nil {
			return 0, err
		}
	}
	return c.read.Read(p)
}

func TestTwoConnectorsAreKeptApart(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	// A tunnel is bound to its connector: what is said inside cannot change it.
	resp := r.get(t, "/api", "Proxy-Authorization: "+basic("team-a/other", r.identity.Token()))
	assert.Equal(t, "ok", body(t, resp))
	assert.Empty(t, up.requests()[0].Header.Get("Proxy-Authorization"))
}

// Connectors of one host differ in who asks: each has the token and the paths of its
// own.
func TestConnectorsOfOneHost(t *testing.T) {
	up := newUpstream(t, ok)
	connectors := map[string]struct{ prefix, token string }{
		"reader": {"", "token-of-reader"}, "writer": {"", "token-of-writer"},
		"one": {"/clusters/one", "token-of-one"}, "two": {"/clusters/two", "token-of-two"},
	}
	var options []ambassador.Connector
	for name, c := range connectors {
		options = append(options, ambassador.Connector{
			Reference: connector.Reference{Namespace: "team-a", Name: name}, Address: up.address(t, c.prefix),
			Credential: newSource(&credential.Snapshot{CA: up.ca, Token: credential.Token(c.token)}),
		})
	}
	r := startAll(t, kubeconfig.ModeProxy, options)
	for name, c := range connectors {
		conn, resp := r.connect(t, r.host(), basic("team-a/"+name, r.identity.Token()))
		require.Equal(t, http.StatusOK, resp.StatusCode)
		inner := tls.Client(conn, r.clientTLS())
		ask := func(path string) int {
			_, err := io.WriteString(inner, r.line(http.MethodGet, path)+"\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(inner), nil)
			require.NoError(t, err)
			body(t, resp)
			return resp.StatusCode
		}
		require.Equal(t, http.StatusOK, ask(c.prefix+"/api"))
		seen := up.requests()[len(up.requests())-1]
		assert.Equal(t, []string{"Bearer " + c.token}, seen.Header["Authorization"])
		assert.Equal(t, c.prefix+"/api", seen.RequestURI)
		for other, elsewhere := range connectors {
			if c.prefix != "" && elsewhere.prefix != c.prefix {
				assert.Equal(t, http.StatusForbidden, ask(elsewhere.prefix+"/api"), "%s at the path of %s", name, other)
			}
		}
	}
}
