package ambassador_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

func FuzzNormalAuthority(f *testing.F) {
	for _, s := range []string{"api.example.com", "API.example.com.:443", "[2001:DB8::1]:6443", "[::ffff:1.2.3.4]", "a@b:1", "a:b:c", "[::1%25eth0]:1", ":443", "a:00443", "a.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		normal, err := ambassador.NormalAuthority(s)
		if err != nil {
			return
		}
		if again, err := ambassador.NormalAuthority(normal); err != nil || again != normal {
			t.Fatalf("%q: normal form %q becomes %q, %v", s, normal, again, err)
		}
		host, port, err := net.SplitHostPort(normal)
		if err != nil || host == "" || port == "" {
			t.Fatalf("%q: %q is not host:port: %v", s, normal, err)
		}
		// What net/url makes of it is the same host.
		u, err := url.Parse("https://" + s)
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is taken for %q, but net/url sees more: %v", s, normal, err)
		}
	})
}

func FuzzProxyAuthorization(f *testing.F) {
	for _, s := range []string{basic("team-a/x", "token"), "Basic", "Basic ", "basic Og==", "Bearer x", "Basic ***"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		user, password, err := ambassador.ProxyAuthorization(http.Header{"Proxy-Authorization": {s}})
		if err != nil {
			if user != "" || password != "" || len(s) > 12 && strings.Contains(err.Error(), s) {
				t.Fatalf("%q: %q, %q, %v", s, user, password, err)
			}
			return
		}
		req := &http.Request{Header: http.Header{"Authorization": {s}}}
		if u, p, ok := req.BasicAuth(); ok && (u != user || p != password) {
			t.Fatalf("%q: got %q %q, net/http has %q %q", s, user, password, u, p)
		}
	})
}

// However often a server decodes an accepted path, it stays below its prefix.
func FuzzCheckPath(f *testing.F) {
	const prefix = "/kubernetes/global"
	for _, s := range []string{"/api", "/../x", "/%2e%2e/x", "/%252e%252e", "/..%2f..", `/..\x`, "/a;b", "/..;", "//", "/%zz/%2e%2e", "%2f.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		p := prefix + rest
		if ambassador.CheckPath(p) != nil || !ambassador.Below(p, prefix) {
			return
		}
		for range 8 {
			clean := path.Clean(strings.ReplaceAll(p, `\`, "/"))
			if clean != prefix && !strings.HasPrefix(clean, prefix+"/") {
				t.Fatalf("%q leaves the prefix as %q", rest, clean)
			}
			decoded, err := url.PathUnescape(p)
			if err != nil {
				return
			}
			p = decoded
		}
	})
}

func FuzzLocalhostRequest(f *testing.F) { fuzzRequest(f, kubeconfig.ModeLocalhost) }

func FuzzInClusterRequest(f *testing.F) { fuzzRequest(f, modeInCluster) }

// Whatever comes to a port that takes requests without the temporary token is
// refused; and a request with it reaches its own API server below its prefix, or
// nobody.
func fuzzRequest(f *testing.F, mode kubeconfig.Mode) {
	f.Helper()
	var reached atomic.Pointer[http.Request]
	up := newUpstream(f, func(_ http.ResponseWriter, r *http.Request) { reached.Store(r) })
	r := startFor(f, mode, up.address(f, "/kubernetes/global"), newSource(up.snapshot()))
	for _, target := range []string{
		"/team-a/cluster/api", "/team-a/cluster", "/team-a/other", "/team-a/cluster/../x", "/team-a/cluster/%2e%2e/x",
		"/", "/api", "/../x", "/%2e%2e%2fx", "//evil.example/api", "/team-a%2fcluster/api", "//team-a/cluster", "/team-a/cluster//x", "https://127.0.0.1/team-a/cluster", "*", "/team-a/cluster;/x", `\team-a\cluster`,
	} {
		f.Add(target, "", true)
		f.Add(target, "Host: evil.example", true)
		f.Add(target, "Authorization: Bearer x", false)
		f.Add(target, "X: y", false)
	}
	f.Fuzz(func(t *testing.T, target, header string, authorized bool) {
		reached.Store(nil)
		request := "GET " + target + " HTTP/1.1\r\nHost: " + r.localhost + "\r\nConnection: close\r\n" + header + "\r\n"
		if authorized {
			request += "Authorization: Bearer " + r.identity.Token() + "\r\n"
		}
		conn := r.open(t)
		if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
			return // refused before it was read
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		conn.Close()
		got := reached.Load()
		switch {
		case err == nil && !authorized && resp.StatusCode < 400:
			t.Fatalf("%q: %s without a token", request, resp.Status)
		case got == nil:
			return
		case !authorized:
			t.Fatalf("%q reaches the API server without a token", request)
		}
		if p := path.Clean(got.URL.Path); p != "/kubernetes/global" && !strings.HasPrefix(p, "/kubernetes/global/") {
			t.Fatalf("%q reaches %q", request, got.RequestURI)
		}
		if a := got.Header["Authorization"]; len(a) != 1 || a[0] != "Bearer "+realToken {
			t.Fatalf("%q: not the real token alone", request)
		}
		for name, values := range got.Header {
			if strings.Contains(strings.Join(values, ","), r.identity.Token()) {
				t.Fatalf("%q: the temporary token goes on in %s", request, name)
			}
		}
	})
}

// Whatever is asked of the proxy port, a tunnel opens to the connector's own
// authority only, and only for whoever shows the temporary token; the API server
// notices nothing of it.
func FuzzConnect(f *testing.F) {
	up := newUpstream(f, ok)
	r := startFor(f, kubeconfig.ModeProxy, address(f, "https://api.example.com:6443"), newSource(up.snapshot()))
	for _, authority := range []string{
		"api.example.com:6443", "API.example.com.:6443", "api.example.com", "evil.example:6443", "api.example.com:6443/", "https://api.example.com:6443",
		"evil@api.example.com:6443", "api.example.com:06443", "[::1]:6443", "*", "/",
	} {
		f.Add("CONNECT", authority, "", true)
		f.Add("CONNECT", authority, "Host: api.example.com:6443", false)
		f.Add("GET", authority, "X: y", true)
	}
	f.Fuzz(func(t *testing.T, method, authority, header string, authorized bool) {
		request := method + " " + authority + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n"
		if authorized {
			request += "Proxy-Authorization: " + r.authorization() + "\r\n"
		}
		conn, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
			return // refused before it was read
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return // there is more to wait for, or nothing to say
		}
		resp.Body.Close()
		if resp.StatusCode >= 300 {
			return
		}
		first, _, _ := strings.Cut(request, "\r\n")
		fields := strings.Fields(first)
		if len(fields) != 3 || fields[0] != "CONNECT" || !strings.Contains(request, r.authorization()) {
			t.Fatalf("%q: %s", request, resp.Status)
		}
		if normal, err := ambassador.NormalAuthority(fields[1]); err != nil || normal != "api.example.com:6443" {
			t.Fatalf("%q opens a tunnel", request)
		}
		if len(up.requests()) > 0 {
			t.Fatalf("%q reaches the API server", request)
		}
	})
}
