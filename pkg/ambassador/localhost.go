package ambassador

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// localNames are what a client on the same machine may call it.
var localNames = []string{"127.0.0.1", "::1", "localhost"}

// localhost is the front for clients that use no proxy. They take the ambassador
// for an API server with a path prefix, https://127.0.0.1:port/namespace/name,
// and the temporary token for their own. In-cluster clients know no prefixes:
// their port has one connector at its root.
type localhost struct {
	root    *mount            // takes every path, if it is there
	mounts  map[string]*mount // by "/namespace/name"
	token   string
	from    string // where clients have the token from
	log     *slog.Logger
	metrics *metrics
}

// mount is where a port has one connector.
type mount struct {
	path  string // "/namespace/name", or "" for the root
	route *route
}

func newLocalhost(routes []*route, token string, log *slog.Logger, m *metrics) *localhost {
	l := &localhost{
		mounts: make(map[string]*mount, len(routes)), token: token, log: log, metrics: m,
		from: "use the user of the kubeconfig as it is, and read the file again if it has changed",
	}
	for _, r := range routes {
		m := &mount{path: "/" + r.ref.String(), route: r}
		l.mounts[m.path] = m
	}
	return l
}

// newInCluster is the front for clients that expect the API server of the cluster
// that they run in.
func newInCluster(r *route, token string, log *slog.Logger, m *metrics) *localhost {
	return &localhost{
		root: &mount{route: r}, token: token, log: log, metrics: m,
		from: "read the file that in-cluster clients have it from again",
	}
}

// serve handles a request that came to the port.
func (l *localhost) serve(x *relay.Exchange, port string) {
	m, refusal := l.admit(x.Request, port)
	if refusal != nil {
		l.log.Debug("request refused", "status", refusal.code, "reason", refusal.message)
		resp := refusal.response()
		if refusal.code == http.StatusUnauthorized {
			resp.Header.Set("WWW-Authenticate", `Bearer realm="connector-proxy"`)
		}
		x.Answer(resp)
		l.metrics.unrouted.add(verbOf(x.Request), x.Status(), x.Bytes())
		return
	}
	// It names this port, which the API server knows nothing of.
	x.Request.Header.Del("Origin")
	m.route.serve(x, m)
}

// admit is the connector that a request is for, or why it is refused. Nobody
// learns which connectors there are without the temporary token.
func (l *localhost) admit(r *http.Request, port string) (*mount, *statusError) {
	// A web page may have its own name resolve to this address (DNS rebinding).
	// What it cannot do is to name another host than its own.
	if !isLocal(r.Host, port) {
		return nil, misdirected(fmt.Sprintf("this port is for %s only, not %.200q", strings.Join(localNames, ", "), r.Host))
	}
	for _, origin := range r.Header.Values("Origin") {
		// Some WebSocket libraries say http where they speak TLS. No page comes
		// from either: this port serves none.
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || !isLocal(u.Host, port) {
			return nil, forbidden("web pages may not use the connector proxy")
		}
	}
	if subtle.ConstantTimeCompare([]byte(bearer(r.Header)), []byte(l.token)) != 1 {
		return nil, &statusError{
			code: http.StatusUnauthorized, reason: "Unauthorized",
			message: "not the temporary token of this Pod: " + l.from,
		}
	}
	if l.root != nil {
		return l.root, nil
	}
	// In escaped form: another spelling of a prefix is not that prefix.
	path := r.URL.EscapedPath()
	namespace, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name, _, _ := strings.Cut(rest, "/")
	m := l.mounts["/"+namespace+"/"+name]
	if m == nil || !below(path, m.path) {
		return nil, &statusError{
			code: http.StatusNotFound, reason: "NotFound",
			message: fmt.Sprintf("no connector is served at %.200q: the server of the kubeconfig ends in /namespace/name of a connector of this Pod", path),
		}
	}
	return m, nil
}

// isLocal reports whether authority is this machine at the port.
func isLocal(authority, port string) bool {
	normal, err := normalAuthority(authority)
	return err == nil && slices.ContainsFunc(localNames, func(name string) bool {
		return normal == net.JoinHostPort(name, port)
	})
}

// bearer is the token that a client shows: in Authorization, or as clients do
// that cannot set it for a WebSocket, in a subprotocol. "" if there is none, or
// more than one.
func bearer(h http.Header) string {
	if values := h.Values("Authorization"); len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return token
	}
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") {
		return ""
	}
	var tokens []string
	for protocol := range strings.SplitSeq(strings.Join(h.Values("Sec-Websocket-Protocol"), ","), ",") {
		if encoded, found := strings.CutPrefix(strings.TrimSpace(protocol), websocketBearer); found {
			tokens = append(tokens, encoded)
		}
	}
	if len(tokens) != 1 {
		return ""
	}
	decoded, err := base64.RawURLEncoding.DecodeString(tokens[0])
	if err != nil {
		return ""
	}
	return string(decoded)
}

// prefix implements view.
func (m *mount) prefix(*http.Request, connector.Address) (string, *statusError) {
	return m.path, nil
}

// relocate implements view. A redirect below the address becomes one below the
// mount. Any other goes away: the client would show the temporary token there,
// and what is served beside a mount are other connectors.
func (m *mount) relocate(resp *http.Response, address connector.Address) {
	location := resp.Header.Get("Location")
	resp.Header.Del("Location")
	if location == "" {
		return
	}
	target, err := resp.Request.URL.Parse(location)
	if err != nil || target.Scheme != "https" || target.User != nil || target.Opaque != "" {
		return
	}
	want, err := normalAuthority(address.Authority())
	if err != nil {
		return
	}
	if target.Path == "" {
		target.Path = "/"
	}
	path := target.EscapedPath()
	if authority, err := normalAuthority(target.Host); err != nil || authority != want || !below(path, address.Prefix()) || checkPath(path) != nil {
		return
	}
	moved := url.URL{Path: m.path + strings.TrimPrefix(target.Path, address.Prefix()), RawQuery: target.RawQuery, Fragment: target.Fragment}
	if target.RawPath != "" {
		moved.RawPath = m.path + strings.TrimPrefix(target.RawPath, address.Prefix())
	}
	if moved.Path == "" {
		moved.Path = "/"
	}
	if strings.HasPrefix(moved.EscapedPath(), "//") {
		return // as a reference it begins with a host (RFC 3986 section 4.2)
	}
	resp.Header.Set("Location", moved.String())
}
