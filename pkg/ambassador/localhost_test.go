package ambassador_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

// ask sends a request whose path and header are as they stand.
func (r *running) ask(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	return r.raw(t, "GET "+path+" HTTP/1.1\r\n"+strings.Join(append(header, "", ""), "\r\n"))
}

func TestLocalhostIsAuthenticated(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	token := r.identity.Token()
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	protocol := "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io."
	encoded := base64.RawURLEncoding.EncodeToString([]byte(token))

	for name, tc := range map[string]struct {
		header string
		ok     bool
	}{
		"bearer":                        {"Authorization: Bearer " + token, true},
		"scheme in lower case":          {"authorization: bearer " + token, true},
		"WebSocket subprotocol":         {upgrade + protocol + encoded + ", v4.channel.k8s.io", true},
		"subprotocol in a second line":  {upgrade + "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n" + protocol + encoded, true},
		"nothing":                       {"X: y", false},
		"wrong":                         {"Authorization: Bearer " + similar(token), false},
		"empty":                         {"Authorization: Bearer ", false},
		"longer":                        {"Authorization: Bearer " + token + "x", false},
		"shorter":                       {"Authorization: Bearer " + token[1:], false},
		"bare":                          {"Authorization: " + token, false},
		"basic":                         {"Authorization: " + basic(cluster.String(), token), false},
		"for the proxy":                 {"Proxy-Authorization: " + basic(cluster.String(), token), false},
		"the real one":                  {"Authorization: Bearer " + realToken, false},
		"placeholder":                   {"Authorization: Bearer fake-token", false},
		"twice":                         {"Authorization: Bearer " + token + "\r\nAuthorization: Bearer " + token, false},
		"behind a wrong one":            {"Authorization: Bearer x\r\nAuthorization: Bearer " + token, false},
		"cookie":                        {"Cookie: token=" + token, false},
		"subprotocol without WebSocket": {protocol + encoded, false},
		"subprotocol of SPDY":           {"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" + protocol + encoded, false},
		"subprotocol twice":             {upgrade + protocol + encoded + "\r\n" + protocol + encoded, false},
		"subprotocol with padding":      {upgrade + protocol + encoded + "=", false},
		"subprotocol not encoded":       {upgrade + protocol + token, false},
		"subprotocol and a wrong token": {upgrade + "Authorization: Bearer x\r\n" + protocol + encoded, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(up.requests())
			// What exists and what does not look the same to a stranger.
			for _, path := range []string{"/team-a/cluster/api", "/team-a/other/api", "/"} {
				resp := r.ask(t, path, "Host: "+r.localhost, tc.header)
				if tc.ok {
					assert.Equal(t, path != "/team-a/cluster/api", resp.StatusCode == http.StatusNotFound)
					continue
				}
				assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
				assert.Equal(t, `Bearer realm="connector-proxy"`, resp.Header.Get("WWW-Authenticate"))
				message := statusOf(t, resp).Message
				assert.Equal(t, "not the temporary token of this Pod: use the user of the kubeconfig as it is, and read the file again if it has changed", message)
			}
			if !tc.ok {
				assert.Len(t, up.requests(), before)
				return
			}
			require.Len(t, up.requests(), before+1)
			seen := up.requests()[before]
			assert.Equal(t, []string{"Bearer " + realToken}, seen.Header["Authorization"])
			for name, values := range seen.Header {
				assert.NotContains(t, strings.Join(values, ","), token, name)
				assert.NotContains(t, strings.Join(values, ","), encoded, name)
			}
		})
	}
}

func TestLocalhostIsForThisMachine(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	_, port, err := net.SplitHostPort(r.localhost)
	require.NoError(t, err)
	authorization := "Authorization: Bearer " + r.identity.Token()
	for header, code := range map[string]int{
		"Host: 127.0.0.1:" + port:                 200,
		"Host: localhost:" + port:                 200,
		"Host: LOCALHOST:" + port:                 200,
		"Host: [::1]:" + port:                     200,
		"Host: [0:0::1]:" + port:                  200,
		"Host: 127.0.0.1":                         421,
		"Host: localhost":                         421,
		"Host: 127.0.0.1:1":                       421,
		"Host: 127.1:" + port:                     421,
		"Host: 127.0.0.2:" + port:                 421,
		"Host: [::ffff:127.0.0.1]:" + port:        421,
		"Host: evil.example:" + port:              421,
		"Host: localhost.evil.example:" + port:    421,
		"Host: 127.0.0.1.evil.example:" + port:    421,
		"Host: " + r.address.Authority():          421,
		"Host:":                                   400,
		"Host: x@127.0.0.1:" + port:               400,
		"Host: 127.0.0.1:" + port + ":" + port:    421,
		"Host: 127.0.0.1:" + port + "\r\nHost: x": 400,
	} {
		resp := r.ask(t, "/team-a/cluster/api", header, authorization)
		assert.Equal(t, code, resp.StatusCode, header)
	}
	for origin, code := range map[string]int{
		"https://127.0.0.1:" + port:    200,
		"http://127.0.0.1:" + port:     200, // python3-websocket
		"https://localhost:" + port:    200,
		"https://[::1]:" + port:        200,
		"https://127.0.0.1":            403,
		"http://127.0.0.1:8080":        403,
		"https://evil.example":         403,
		"https://evil.example:" + port: 403,
		"ftp://127.0.0.1:" + port:      403,
		"127.0.0.1:" + port:            403,
		"null":                         403,
		"":                             403,
		"https://127.0.0.1:" + port + "\r\nOrigin: https://evil.example": 403,
	} {
		before := len(up.requests())
		resp := r.ask(t, "/team-a/cluster/api", "Host: "+r.localhost, authorization, "Origin: "+origin)
		assert.Equal(t, code, resp.StatusCode, origin)
		if code == 200 {
			assert.Empty(t, up.requests()[before].Header["Origin"], "it names a port that the server does not know")
		} else {
			assert.Len(t, up.requests(), before)
		}
	}
	// Without the token the answer to a page is the same.
	assert.Equal(t, 421, r.ask(t, "/team-a/cluster/api", "Host: evil.example").StatusCode)
	assert.Equal(t, 403, r.ask(t, "/team-a/cluster/api", "Host: "+r.localhost, "Origin: https://evil.example").StatusCode)
}

func TestLocalhostPathPicksTheConnector(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, "/kubernetes/global"), newSource(up.snapshot()))
	for path, want := range map[string]string{
		"/team-a/cluster":                              "/kubernetes/global",
		"/team-a/cluster/":                             "/kubernetes/global/",
		"/team-a/cluster?timeout=1s":                   "/kubernetes/global?timeout=1s",
		"/team-a/cluster/api/v1/pods?labelSelector=..": "/kubernetes/global/api/v1/pods?labelSelector=..",
		"/team-a/cluster/api/a%2Fb%20c":                "/kubernetes/global/api/a%2Fb%20c",
		"/team-a/cluster//evil.example/api":            "/kubernetes/global//evil.example/api",
		"/team-a/cluster/team-a/cluster":               "/kubernetes/global/team-a/cluster",
		"/":                                            "404",
		"//":                                           "404",
		"/team-a":                                      "404",
		"/team-a/":                                     "404",
		"/team-a/cluster2/api":                         "404",
		"/team-a/other/api":                            "404",
		"/team-b/cluster/api":                          "404",
		"/kubernetes/global/api":                       "404",
		"/api":                                         "404",
		"//team-a/cluster/api":                         "404",
		"/team-a//cluster/api":                         "404",
		"/team-a%2Fcluster/api":                        "404",
		"/team%2da/cluster/api":                        "404",
		"/team-a/%63luster/api":                        "404",
		"/team-a/cluster%2Fapi":                        "404",
		"/Team-a/cluster/api":                          "404",
		"/team-a/cluster;x/api":                        "404",
		`/team-a\cluster/api`:                          "404",
		"/team-a_cluster/api":                          "404",
		"/./team-a/cluster/api":                        "404",
		"/x/../team-a/cluster/api":                     "404",
		"/team-a/x/../cluster/api":                     "404",
		"/team-a/cluster/..":                           "400",
		"/team-a/cluster/../other/api":                 "400",
		"/team-a/cluster/%2e%2e/other/api":             "400",
		"/team-a/cluster/%252e%252e/other":             "400",
		"/team-a/cluster/..%2f..%2fother":              "400",
		`/team-a/cluster/..\secret`:                    "400",
		"/team-a/cluster/api%00":                       "400",
	} {
		t.Run(path, func(t *testing.T) {
			before := len(up.requests())
			resp := r.ask(t, path, "Host: "+r.localhost, "Authorization: Bearer "+r.identity.Token())
			if strings.HasPrefix(want, "/") {
				assert.Equal(t, 200, resp.StatusCode)
				require.Len(t, up.requests(), before+1)
				assert.Equal(t, want, up.requests()[before].RequestURI)
				assert.Equal(t, r.address.Authority(), up.requests()[before].Host)
				return
			}
			assert.NotEmpty(t, statusOf(t, resp).Message)
			assert.Equal(t, want, resp.Status[:3])
			assert.Len(t, up.requests(), before)
		})
	}
}

// A client that speaks to a proxy where a server is may be told so.
func TestLocalhostIsNoProxy(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	host, authorization := "Host: "+r.localhost+"\r\n", "Authorization: Bearer "+r.identity.Token()+"\r\n\r\n"
	for line, code := range map[string]int{
		"GET https://" + r.localhost + "/team-a/cluster/api HTTP/1.1\r\n":           400,
		"GET https://" + r.address.Authority() + "/team-a/cluster/api HTTP/1.1\r\n": 421,
		"CONNECT " + r.address.Authority() + " HTTP/1.1\r\n":                        421,
		"CONNECT " + r.localhost + " HTTP/1.1\r\n":                                  404,
		"CONNECT /team-a/cluster HTTP/1.1\r\n":                                      400,
		"OPTIONS * HTTP/1.1\r\n":                                                    404,
	} {
		assert.Equal(t, code, r.raw(t, line+host+authorization).StatusCode, line)
	}
	assert.Empty(t, up.requests())

	conn, err := net.Dial("tcp", r.localhost)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /team-a/cluster/api HTTP/1.1\r\n"+host+authorization)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 400, resp.StatusCode, "plain HTTP")
	assert.Empty(t, up.requests())
}

// A redirect must not take the client, and the temporary token, to another
// connector or elsewhere.
func TestLocalhostRedirects(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = r.Header["X-Location"]
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	host := strings.TrimPrefix(up.URL, "https://")
	for _, prefix := range []string{"", "/kubernetes/global"} {
		r := startLocal(t, up.address(t, prefix), newSource(up.snapshot()))
		for location, want := range map[string]string{
			prefix + "/api/v1/":                        "/team-a/cluster/api/v1/",
			prefix + "/api?x=y#z":                      "/team-a/cluster/api?x=y#z",
			prefix + "/a%2Fb":                          "/team-a/cluster/a%2Fb",
			up.URL + prefix + "/api":                   "/team-a/cluster/api",
			"//" + host + prefix + "/api":              "/team-a/cluster/api",
			"proxy/":                                   "/team-a/cluster/api/v1/proxy/",
			"../v2":                                    "/team-a/cluster/api/v2",
			prefix + "/team-a/other/api":               "/team-a/cluster/team-a/other/api",
			"https://evil.example" + prefix + "/api":   "",
			"https://" + r.localhost + "/team-a/other": "",
			"https://localhost/team-a/other":           "",
			"http://" + host + prefix + "/api":         "",
			"https://x@" + host + prefix + "/api":      "",
			"https:" + prefix + "/api":                 "",
			prefix + "/%2e%2e/other":                   "",
			prefix + `/..\secret`:                      "",
			"javascript:1":                             "",
			"https://" + host + ":1/":                  "",
			"":                                         "",
		} {
			resp := r.get(t, "/api/v1/x", "X-Location: "+location)
			assert.Equal(t, 307, resp.StatusCode)
			assert.Equal(t, want, resp.Header.Get("Location"), location)
		}
		resp := r.get(t, "/api/v1/x", "X-Location: "+prefix+"/one", "X-Location: https://evil.example/")
		assert.Equal(t, []string{"/team-a/cluster/one"}, resp.Header["Location"])
	}
	r := startLocal(t, up.address(t, "/kubernetes/global"), newSource(up.snapshot()))
	for _, outside := range []string{"/team-a/other/api", "/login", "../../../../../login", up.URL, "/kubernetes/globalx"} {
		assert.Empty(t, r.get(t, "/api/v1/x", "X-Location: "+outside).Header["Location"], outside)
	}
}

func TestLocalhostCertificate(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	leaf := r.open(t).ConnectionState().PeerCertificates[0]
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		require.NoError(t, leaf.VerifyHostname(name))
	}
	for _, name := range []string{"127.0.0.2", "localhost.example"} {
		require.Error(t, leaf.VerifyHostname(name))
	}
}

// One connection may carry requests for several connectors; each gets the token
// of its own.
func TestLocalhostKeepsConnectorsApart(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }
	one, two := newUpstream(t, echo), newUpstream(t, echo)
	r := startAll(t, kubeconfig.ModeLocalhost, []ambassador.Connector{
		{Reference: cluster, Address: one.address(t, ""), Credential: newSource(&credential.Snapshot{CA: one.ca, Token: "one"})},
		{Reference: connector.Reference{Namespace: "team-a", Name: "cluster.two"}, Address: two.address(t, "/two"), Credential: newSource(&credential.Snapshot{CA: two.ca, Token: "two"})},
	})
	conn := r.open(t)
	br := bufio.NewReader(conn)
	for range 2 {
		for path, want := range map[string]string{"/team-a/cluster/api": "/api", "/team-a/cluster.two/api": "/two/api"} {
			_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+r.localhost+"\r\nAuthorization: Bearer "+r.identity.Token()+"\r\n\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			assert.Equal(t, want, body(t, resp))
			resp.Body.Close()
		}
	}
	for _, seen := range one.requests() {
		assert.Equal(t, "Bearer one", seen.Header.Get("Authorization"))
	}
	for _, seen := range two.requests() {
		assert.Equal(t, "Bearer two", seen.Header.Get("Authorization"))
	}
	assert.Len(t, one.requests(), 2)
	assert.Len(t, two.requests(), 2)
}

func TestLocalhostSaysWhatIsMissing(t *testing.T) {
	up := newUpstream(t, ok)
	src := newSource(&credential.Snapshot{Problem: assert.AnError})
	r := startLocal(t, up.address(t, ""), src)
	resp := r.get(t, "/api")
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	assert.Equal(t, "connector team-a/cluster: "+assert.AnError.Error(), statusOf(t, resp).Message)
	src.set(up.snapshot())
	assert.Equal(t, 200, r.get(t, "/api").StatusCode)
}

// The address may change its host and its prefix: the client does not see it.
func TestLocalhostFollowsTheAddress(t *testing.T) {
	old, next := newUpstream(t, ok), newUpstream(t, ok)
	src := newSource(old.snapshot())
	r := startLocal(t, old.address(t, "/one"), src)
	require.Equal(t, 200, r.get(t, "/api").StatusCode)
	src.set(&credential.Snapshot{CA: next.ca, Token: realToken, Address: next.address(t, "/v2")})
	require.Equal(t, 200, r.get(t, "/api").StatusCode)
	require.Len(t, old.requests(), 1)
	assert.Equal(t, "/one/api", old.requests()[0].RequestURI)
	require.Len(t, next.requests(), 1)
	assert.Equal(t, "/v2/api", next.requests()[0].RequestURI)
	assert.Equal(t, next.address(t, "").Authority(), next.requests()[0].Host)
}

// The bound is on the connections of both ports together.
func TestConnectionsOfBothPortsAreBounded(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	dial := func(address string) net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		return conn
	}
	// An answer shows that a connection has been accepted and counted.
	for range ambassador.MaxConnections / 2 {
		conn := dial(r.proxy)
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, tls.Client(dial(r.localhost), r.clientTLS()).Handshake())
	}
	refused, err := io.ReadAll(dial(r.proxy))
	require.NoError(t, err)
	assert.Contains(t, string(refused), "too many connections")
	answer, err := io.ReadAll(dial(r.localhost))
	require.NoError(t, err)
	assert.Empty(t, answer)
}
