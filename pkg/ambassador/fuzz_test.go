package ambassador_test

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
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
