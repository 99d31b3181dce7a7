package ambassador_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
)

func TestInClusterIsAuthenticated(t *testing.T) {
	up := newUpstream(t, ok)
	r := startInCluster(t, up.address(t, ""), newSource(up.snapshot()))
	token := r.identity.Token()
	for name, header := range map[string]string{
		"nothing":       "X: y",
		"wrong":         "Authorization: Bearer " + similar(token),
		"longer":        "Authorization: Bearer " + token + "x",
		"empty":         "Authorization: Bearer ",
		"placeholder":   "Authorization: Bearer fake-token",
		"the real one":  "Authorization: Bearer " + realToken,
		"for the proxy": "Proxy-Authorization: " + basic(cluster.String(), token),
		"twice":         "Authorization: Bearer " + token + "\r\nAuthorization: Bearer " + token,
	} {
		for _, path := range []string{"/", "/api", "/team-a/cluster/api"} {
			resp := r.ask(t, path, "Host: "+r.localhost, header)
			assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, name)
			assert.Equal(t, `Bearer realm="connector-proxy"`, resp.Header.Get("WWW-Authenticate"))
			assert.Equal(t, "not the temporary token of this Pod: read the file that in-cluster clients have it from again", statusOf(t, resp).Message)
		}
	}
	assert.Empty(t, up.requests())
	assert.Equal(t, 200, r.ask(t, "/api", "Host: "+r.localhost, "Authorization: Bearer "+token).StatusCode)
	require.Len(t, up.requests(), 1)
	assert.Equal(t, []string{"Bearer " + realToken}, up.requests()[0].Header["Authorization"])
}

func TestInClusterIsForThisMachine(t *testing.T) {
	up := newUpstream(t, ok)
	r := startInCluster(t, up.address(t, ""), newSource(up.snapshot()))
	_, port, err := net.SplitHostPort(r.localhost)
	require.NoError(t, err)
	authorization := "Authorization: Bearer " + r.identity.Token()
	for header, code := range map[string]int{
		"Host: 127.0.0.1:" + port: 200,
		"Host: [::1]:" + port:     200,
		"Host: localhost:" + port + "\r\nOrigin: https://localhost:" + port: 200,
		"Host: 127.0.0.1":                                              421,
		"Host: kubernetes.default.svc":                                 421,
		"Host: evil.example:" + port:                                   421,
		"Host: " + r.address.Authority():                               421,
		"Host: 127.0.0.1:" + port + "\r\nOrigin: https://evil.example": 403,
		"Host: 127.0.0.1:" + port + "\r\nOrigin: null":                 403,
	} {
		before := len(up.requests())
		assert.Equal(t, code, r.ask(t, "/api", header, authorization).StatusCode, header)
		assert.Equal(t, code == 200, len(up.requests()) > before, header)
	}
	for _, seen := range up.requests() {
		assert.Equal(t, r.address.Authority(), seen.Host)
		assert.Empty(t, seen.Header["Origin"], "it names a port that the server does not know")
	}
}

// The root of the port is the path of the address.
func TestInClusterPaths(t *testing.T) {
	up := newUpstream(t, ok)
	for _, prefix := range []string{"", "/kubernetes/global"} {
		r := startInCluster(t, up.address(t, prefix), newSource(up.snapshot()))
		for path, want := range map[string]string{
			"/":                          prefix + "/",
			"/api":                       prefix + "/api",
			"/api/v1/pods?watch=1":       prefix + "/api/v1/pods?watch=1",
			"/api/a%2Fb%20c":             prefix + "/api/a%2Fb%20c",
			"//evil.example/api":         prefix + "//evil.example/api",
			"/team-a/cluster/api":        prefix + "/team-a/cluster/api",
			"/kubernetes/global/api":     prefix + "/kubernetes/global/api",
			"/..":                        "400",
			"/../other":                  "400",
			"/%2e%2e/other":              "400",
			"/%252e%252e/other":          "400",
			"/api/..%2f..%2f..%2f/other": "400",
			`/..\secret`:                 "400",
			"/api%00":                    "400",
		} {
			before := len(up.requests())
			resp := r.ask(t, path, "Host: "+r.localhost, "Authorization: Bearer "+r.identity.Token())
			if want == "400" {
				assert.Equal(t, 400, resp.StatusCode, path)
				assert.Len(t, up.requests(), before, path)
				continue
			}
			assert.Equal(t, 200, resp.StatusCode, path)
			require.Len(t, up.requests(), before+1, path)
			assert.Equal(t, want, up.requests()[before].RequestURI, path)
			assert.Equal(t, r.address.Authority(), up.requests()[before].Host)
		}
	}
}

func TestInClusterIsNoProxy(t *testing.T) {
	up := newUpstream(t, ok)
	r := startInCluster(t, up.address(t, ""), newSource(up.snapshot()))
	rest := " HTTP/1.1\r\nHost: " + r.localhost + "\r\nAuthorization: Bearer " + r.identity.Token() + "\r\n\r\n"
	for line, code := range map[string]int{
		"GET https://" + r.localhost + "/api":           400,
		"GET https://" + r.address.Authority() + "/api": 421,
		"GET https://evil.example/api":                  421,
		"CONNECT " + r.localhost:                        400,
		"CONNECT " + r.address.Authority():              421,
		"CONNECT /api":                                  400,
		"OPTIONS *":                                     400,
		"TRACE /api":                                    405,
	} {
		assert.Equal(t, code, r.raw(t, line+rest).StatusCode, line)
	}
	assert.Empty(t, up.requests())
}

// A redirect must not take the client, and the temporary token, elsewhere.
func TestInClusterRedirects(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = r.Header["X-Location"]
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	host := strings.TrimPrefix(up.URL, "https://")
	for _, prefix := range []string{"", "/kubernetes/global"} {
		r := startInCluster(t, up.address(t, prefix), newSource(up.snapshot()))
		for location, want := range map[string]string{
			prefix + "/api/v1/":                        "/api/v1/",
			prefix + "/api?x=y#z":                      "/api?x=y#z",
			prefix + "/a%2Fb":                          "/a%2Fb",
			up.URL + prefix:                            "/",
			up.URL + prefix + "/api":                   "/api",
			"//" + host + prefix + "/api":              "/api",
			"proxy/":                                   "/api/v1/proxy/",
			up.URL + prefix + "/%2Fevil.example/api":   "/%2Fevil.example/api",
			up.URL + prefix + "//evil.example/api":     "",
			up.URL + prefix + "///evil.example/api":    "",
			"//evil.example" + prefix + "/api":         "",
			"https://evil.example" + prefix + "/api":   "",
			"https://" + r.localhost + prefix + "/api": "",
			"http://" + host + prefix + "/api":         "",
			"https://x@" + host + prefix + "/api":      "",
			prefix + "/%2e%2e/other":                   "",
		} {
			resp := r.get(t, "/api/v1/x", "X-Location: "+location)
			assert.Equal(t, 307, resp.StatusCode)
			assert.Equal(t, want, resp.Header.Get("Location"), location)
		}
	}
	r := startInCluster(t, up.address(t, "/kubernetes/global"), newSource(up.snapshot()))
	for _, outside := range []string{"/api", "/kubernetes/globalx", up.URL} {
		assert.Empty(t, r.get(t, "/api/v1/x", "X-Location: "+outside).Header["Location"], outside)
	}
}

// There is one API server where such clients look for it.
func TestInClusterIsTheFirstConnector(t *testing.T) {
	one, two := newUpstream(t, ok), newUpstream(t, ok)
	r := startAll(t, modeInCluster, []ambassador.Connector{
		{Reference: cluster, Address: one.address(t, ""), Credential: newSource(one.snapshot())},
		{Reference: connector.Reference{Namespace: "team-a", Name: "two"}, Address: two.address(t, ""), Credential: newSource(&credential.Snapshot{CA: two.ca, Token: "two"})},
	})
	for _, path := range []string{"/api", "/team-a/two/api"} {
		assert.Equal(t, 200, r.get(t, path).StatusCode)
	}
	assert.Len(t, one.requests(), 2)
	assert.Empty(t, two.requests())
}
