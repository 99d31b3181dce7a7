package ambassador_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/credential"
)

func statusOf(t *testing.T, resp *http.Response) metav1.Status {
	t.Helper()
	var s metav1.Status
	require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &s))
	assert.Equal(t, "Status", s.Kind)
	assert.Equal(t, metav1.StatusFailure, s.Status)
	assert.EqualValues(t, resp.StatusCode, s.Code)
	return s
}

func TestPathStaysBelowThePrefix(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, "/kubernetes/global"), newSource(up.snapshot()))
	for path, code := range map[string]int{
		"/kubernetes/global":                              200,
		"/kubernetes/global/":                             200,
		"/kubernetes/global/api/v1/pods?labelSelector=..": 200,
		"/kubernetes/global/api/a%20b":                    200,
		"/kubernetes/global/api/a%2Fb":                    200,
		"/kubernetes/global/...":                          200,
		"/kubernetes/global/a..b":                         200,
		"/":                                               403,
		"/api":                                            403,
		"/kubernetes/globalx":                             403,
		"/kubernetes/global2/api":                         403,
		"/kubernetes/Global/api":                          403,
		"/kubernetes%2Fglobal/api":                        403,
		"/kubernetes/%67lobal/api":                        403,
		"//kubernetes/global/api":                         403,
		"/kubernetes//global/api":                         403,
		"/kubernetes/global%2Fapi":                        403,
		"/kubernetes/global/../other":                     400,
		"/kubernetes/global/./api":                        400,
		"/kubernetes/global/..":                           400,
		"/kubernetes/global//../other":                    400,
		"/kubernetes/global/%2e%2e/other":                 400,
		"/kubernetes/global/%2E./other":                   400,
		"/kubernetes/global/.%2e/other":                   400,
		"/kubernetes/global/%2e":                          400,
		"/kubernetes/global/..%2fother":                   400,
		"/kubernetes/global/a%2f..%2f..%2f..%2fother":     400,
		"/kubernetes/global%2f..%2f..%2fother":            400,
		"/kubernetes/global/%252e%252e/other":             400,
		"/kubernetes/global/%25%32e%252e/other":           400,
		"/kubernetes/global/%25zz/%252e%252e/other":       400,
		"/kubernetes/global/%2525252e%2525252e/other":     400,
		"/kubernetes/global/%252525252525252541":          400,
		`/kubernetes/global/..\secret`:                    400,
		`/kubernetes/global/a\..\..\secret`:               400,
		"/kubernetes/global/..%5cother":                   400,
		"/kubernetes/global/..;x/other":                   400,
		"/kubernetes/global/api%00":                       400,
		"/kubernetes/global/api%0d%0aX:y":                 400,
	} {
		t.Run(path, func(t *testing.T) {
			before := len(up.requests())
			resp := r.get(t, path)
			assert.Equal(t, code, resp.StatusCode)
			if code == 200 {
				seen := up.requests()
				assert.Equal(t, path, seen[len(seen)-1].RequestURI, "passed on as it is")
				return
			}
			s := statusOf(t, resp)
			assert.NotEmpty(t, s.Message)
			assert.Len(t, up.requests(), before)
		})
	}
}

func TestInnerRequestNamesNoOtherHost(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	host := r.address.Authority()
	for name, tc := range map[string]struct {
		request string
		code    int
	}{
		"another host":            {"GET /api HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		"another port":            {"GET /api HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421},
		"no host":                 {"GET /api HTTP/1.0\r\n\r\n", 421},
		"empty host":              {"GET /api HTTP/1.1\r\nHost:\r\n\r\n", 400},
		"absolute form elsewhere": {"GET https://evil.example/api HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		"absolute form":           {"GET https://" + host + "/api HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		"connect":                 {"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		"connect to a path":       {"CONNECT /api HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		"asterisk":                {"OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\nX: y\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp := r.raw(t, tc.request)
			assert.Equal(t, tc.code, resp.StatusCode)
		})
	}
	assert.Empty(t, up.requests())
	assert.Equal(t, 200, r.raw(t, "GET //evil.example/api HTTP/1.1\r\nHost: "+host+"\r\n\r\n").StatusCode, "a path, not a host")
	assert.Equal(t, "//evil.example/api", up.requests()[0].RequestURI)
}

func TestHeaders(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			resp := r.get(t, "/api",
				"Connection: Authorization, X-Gone",
				"X-Gone: 1",
				"X-Kept: 1",
				"Cookie: a=b",
				"X-Remote-User: admin",
				"x-remote-group: system:masters",
				"X-Remote-Extra-Scopes: all",
				"X-Forwarded-For: 192.0.2.1",
				"X-Forwarded-Prefix: /x",
				"Forwarded: for=192.0.2.1",
				"X-Original-URL: /other",
				"X-Rewrite-URL: /other",
				"X-HTTP-Method-Override: TRACE",
				"X_Method_Override: TRACE",
				"Proxy-Authorization: Basic eDp5",
				"Proxy-Anything: 1",
				"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io",
				"Sec-WebSocket-Protocol: v4.channel.k8s.io",
				"Accept-Encoding: gzip",
			)
			require.Equal(t, 200, resp.StatusCode)
			got := up.requests()[0]
			assert.Equal(t, http.Header{
				"Authorization":          {"Bearer " + realToken},
				"X-Kept":                 {"1"},
				"Accept-Encoding":        {"gzip"},
				"Sec-Websocket-Protocol": {"v5.channel.k8s.io, v4.channel.k8s.io"},
			}, got.Header)
			assert.Equal(t, r.address.Authority(), got.Host)
		})
	}
}

func TestHeadersOfLenientServers(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			require.Equal(t, 200, r.get(t, "/api", "X_Remote_User: admin", "x-remote_group: system:masters").StatusCode)
			assert.Equal(t, http.Header{"Authorization": {"Bearer " + realToken}}, up.requests()[0].Header)
			assert.Equal(t, 403, r.get(t, "/api", "Impersonate_User: admin").StatusCode)
		})
	}
}

// A gateway that answers TRACE with the request would show the token to the app;
// an upgrade that the API does not have would be a tunnel past the guard.
func TestOnlyWhatTheAPIHas(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header) })
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			for _, method := range []string{"TRACE", "trace", "PROPFIND", "get"} {
				resp := r.raw(t, r.line(method, "/api")+"\r\n")
				assert.Equal(t, 405, resp.StatusCode, method)
				assert.Contains(t, statusOf(t, resp).Message, method)
			}
			for _, protocol := range []string{"h2c", "TLS/1.0", "websocket, h2c", "SPDY/2"} {
				resp := r.get(t, "/api", "Connection: Upgrade", "Upgrade: "+protocol)
				assert.Equal(t, 400, resp.StatusCode, protocol)
			}
			resp := r.get(t, "/api", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c")
			assert.Equal(t, 400, resp.StatusCode, "in a second line")
			assert.Empty(t, up.requests())
		})
	}
}

func TestTwoAuthorizationsBecomeOne(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	r.get(t, "/api", "Authorization: Bearer one", "authorization: Bearer two")
	assert.Equal(t, []string{"Bearer " + realToken}, up.requests()[0].Header["Authorization"])
}

func TestImpersonationIsRefused(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			for _, header := range []string{
				"Impersonate-User: admin", "impersonate-group: system:masters", "Impersonate-Extra-Scopes: x",
				"Impersonate-Uid: 1", "Connection: Impersonate-User\r\nImpersonate-User: admin",
			} {
				resp := r.get(t, "/api", header)
				s := statusOf(t, resp)
				assert.Equal(t, metav1.StatusReasonForbidden, s.Reason)
				assert.Contains(t, s.Message, "impersonation")
			}
			assert.Empty(t, up.requests())
		})
	}
}

// A kubeconfig written before the address changed stays good.
func TestClientsOfTheFirstAddress(t *testing.T) {
	old, next := newUpstream(t, ok), newUpstream(t, ok)
	src := newSource(old.snapshot())
	r := start(t, old.address(t, "/clusters/one"), src)
	require.Equal(t, 200, r.get(t, "/clusters/one/api").StatusCode)

	src.set(&credential.Snapshot{CA: next.ca, Token: realToken, Address: next.address(t, "/v2")})
	require.Equal(t, 200, r.get(t, "/clusters/one/api/a%2Fb?x=y").StatusCode)
	assert.Len(t, old.requests(), 1)
	require.Len(t, next.requests(), 1)
	assert.Equal(t, "/v2/api/a%2Fb?x=y", next.requests()[0].RequestURI)
	assert.Equal(t, next.address(t, "").Authority(), next.requests()[0].Host)
	assert.Equal(t, 403, r.get(t, "/v2/api").StatusCode, "the prefix of the other address")

	r.address = next.address(t, "/v2")
	require.Equal(t, 200, r.get(t, "/v2/api").StatusCode, "the current address is accepted, too")
	assert.Equal(t, 403, r.get(t, "/clusters/one/api").StatusCode)
}

func TestPrefixChangesAtTheSameHost(t *testing.T) {
	up := newUpstream(t, ok)
	src := newSource(up.snapshot())
	r := start(t, up.address(t, "/one"), src)
	s := up.snapshot()
	s.Address = up.address(t, "")
	src.set(s)
	require.Equal(t, 200, r.get(t, "/one/api").StatusCode)
	require.Equal(t, 200, r.get(t, "/api").StatusCode)
	assert.Equal(t, "/api", up.requests()[0].RequestURI)
	assert.Equal(t, "/api", up.requests()[1].RequestURI)
}
