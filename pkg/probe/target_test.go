package probe_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

func asList(servers ...*httptest.Server) []*httptest.Server { return servers }

func TestForbiddenAddresses(t *testing.T) {
	for host, forbidden := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "169.254.255.255": true,
		"100.100.100.200": true, "168.63.129.16": true, "192.0.0.192": true,
		"[fe80::1]": true, "[febf::1]": true, "[fd00:ec2::254]": true, "[fd20:ce::254]": true,
		"[64:ff9b::a9fe:a9fe]": true, "[64:ff9b:1::168.63.129.16]": true, "[2002:a9fe:a9fe::1]": true, "[::169.254.169.254]": true,

		"169.253.255.255": false, "169.255.0.1": false, "100.100.100.201": false, "127.0.0.1": false, "10.0.0.1": false,
		"[::1]": false, "[fec0::1]": false, "[fd00:ec2::255]": false, "[64:ff9b::a00:1]": false, "[2002:a00:1::1]": false,
		"metadata.google.internal": false, // what it resolves to counts, and only then
	} {
		t.Run(host, func(t *testing.T) {
			address, err := connector.ParseAddress("https://" + host)
			require.NoError(t, err)
			err = probe.CheckAddress(address)
			if !forbidden {
				require.NoError(t, err)
				return
			}
			requireKind(t, probe.AddressForbidden, err)
			require.ErrorContains(t, err, "is link-local or a cloud's metadata service, which is never asked; correct spec.address")
			requireKind(t, probe.AddressForbidden, openAt(t, address, nil, probe.Options{}).Alive(t.Context()))
		})
	}
}

// A name is checked when it is resolved, for each connection.
func TestForbiddenWhenResolved(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254:443": true, "[::ffff:169.254.169.254]:443": true, "[fe80::1%eth0]:443": true, "127.0.0.1:443": false, "nonsense": true,
	} {
		err := probe.Control("tcp", address, nil)
		require.Equal(t, want, err != nil, address)
	}
	require.True(t, probe.IsForbidden(netip.MustParseAddr("::ffff:168.63.129.16")))
}

// The dialer checks every connection, that to a proxy included.
func TestForbiddenIsNotDialled(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://169.254.169.254:3128")
	t.Setenv("NO_PROXY", "")
	address, err := connector.ParseAddress("https://example.com")
	require.NoError(t, err)
	requireKind(t, probe.AddressForbidden, openAt(t, address, nil, probe.Options{ProxyFromEnvironment: true}).Alive(t.Context()))
}

func TestIPv6(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	require.NoError(t, err)
	host := ""
	server := unstarted(func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	require.NoError(t, open(t, server.URL+"/pre/fix", server).Alive(t.Context()))
	require.Equal(t, listener.Addr().String(), host)
}

// proxy is an HTTP proxy that takes CONNECT to any name to a server of the test.
func proxy(t *testing.T, to *httptest.Server, asked func(*http.Request)) *httptest.Server {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked(r)
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		back, err := net.Dial("tcp", to.Listener.Addr().String())
		if !assert.NoError(t, err) {
			return
		}
		front, _, err := w.(http.Hijacker).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, err = io.WriteString(front, "HTTP/1.1 200 OK\r\n\r\n")
		assert.NoError(t, err)
		go func() {
			_, _ = io.Copy(back, front) // ends with either side
			_ = back.Close()
		}()
		_, _ = io.Copy(front, back)
		_ = front.Close()
	}))
	t.Cleanup(p.Close)
	return p
}

// A proxy carries TLS from end to end: it sees neither the request nor the token,
// and cannot stand in for the server.
func TestProxyFromEnvironment(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "example.com", r.Host)
		assert.NotContains(t, r.Header, "Proxy-Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	})
	var asked atomic.Int64
	p := proxy(t, server, func(r *http.Request) {
		asked.Add(1)
		assert.Equal(t, "CONNECT example.com:443", r.Method+" "+r.Host)
		assert.NotContains(t, r.Header, "Authorization")
	})
	t.Setenv("HTTPS_PROXY", p.URL)
	t.Setenv("NO_PROXY", "")
	address, err := connector.ParseAddress("https://example.com") // a name in httptest's certificate
	require.NoError(t, err)
	yes := probe.Options{ProxyFromEnvironment: true}
	target := openAt(t, address, certificatesOf(asList(server)), yes)
	require.NoError(t, target.Alive(t.Context()))
	requireKind(t, probe.Unauthenticated, target.Accepts(t.Context(), token))
	require.EqualValues(t, 2, asked.Load())

	requireKind(t, probe.UnknownAuthority, openAt(t, address, nil, yes).Accepts(t.Context(), token))

	metadata, err := connector.ParseAddress("https://169.254.169.254")
	require.NoError(t, err)
	before := asked.Load()
	requireKind(t, probe.AddressForbidden, openAt(t, metadata, nil, yes).Accepts(t.Context(), token))
	require.Equal(t, before, asked.Load())
}

func TestUnusableProxy(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	address, err := connector.ParseAddress("https://example.com")
	require.NoError(t, err)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{"socks5://user:" + token + "@127.0.0.1:1", gone.URL} {
		t.Setenv("HTTPS_PROXY", url)
		err := openAt(t, address, certificatesOf(asList(server)), probe.Options{ProxyFromEnvironment: true}).Alive(t.Context())
		requireKind(t, probe.ConnectionFailed, err)
		require.ErrorContains(t, err, "the proxy of the controller's environment cannot be used", url)
	}
}

// What a server says of the user and of itself ends up in the status.
func TestAccount(t *testing.T) {
	for name, tc := range map[string]struct{ user, want string }{
		"plain":           {"system:serviceaccount:team:robot", "system:serviceaccount:team:robot"},
		"odd characters":  {`a\nb\u0000\u202ec`, "a?b??c"},
		"long":            {strings.Repeat("x", 300), strings.Repeat("x", 253) + "…"},
		"the token":       {token, ""},
		"with the token":  {"user " + token + "!", ""},
		"a part of it":    {token[3:20], ""},
		"a short part":    {token[:5], token[:5]},
		"a short secret":  {"jane", "jane"},
		"what we sent it": {"application/json", ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"`+tc.user+`"}}}`)
			})
			account, err := open(t, server.URL, server).account(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, probe.Account{User: tc.want, Kubernetes: true}, account)
		})
	}
	t.Run("short token", func(t *testing.T) {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"I know s3cret!"}}}`)
		})
		account, err := open(t, server.URL, server).account(t.Context(), "s3cret")
		require.NoError(t, err)
		require.Empty(t, account.User)
	})
}

func TestVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"good":         {200, `{"major":"1","gitVersion":"v1.36.3"}`, "v1.36.3"},
		"odd":          {200, `{"gitVersion":"v1\n"}`, "v1?"},
		"long":         {200, `{"gitVersion":"` + strings.Repeat("x", 99) + `"}`, strings.Repeat("x", 64) + "…"},
		"the token":    {200, `{"gitVersion":"` + token + `"}`, ""},
		"no text":      {200, `{"gitVersion":1}`, ""},
		"no JSON":      {200, `v1`, ""},
		"none":         {200, ``, ""},
		"refused":      {403, `{"gitVersion":"v1.36.3"}`, ""},
		"server error": {500, `{"gitVersion":"v1.36.3"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "GET /some/prefix/version", r.Method+" "+r.RequestURI)
				assert.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			target := open(t, server.URL+"/some/prefix", server)
			question, err := target.class.Auth("bearerTokenAuth", target.connector, map[string][]byte{"token": []byte(token)})
			require.NoError(t, err)
			require.Equal(t, tc.want, target.Version(t.Context(), question))
		})
	}
}

// The words that metrics have for kinds are different.
func TestKinds(t *testing.T) {
	seen := map[string]bool{probe.Kind(0).String(): true}
	for _, kind := range probe.Kinds {
		require.False(t, seen[kind.String()], kind)
		seen[kind.String()] = true
	}
}
