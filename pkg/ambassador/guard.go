package ambassador

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// websocketBearer starts a WebSocket subprotocol that carries a token: the way
// in which browsers authenticate to Kubernetes.
const websocketBearer = "base64url.bearer.authorization.k8s.io." //nolint:gosec // a prefix, no credential

// methods are those of the Kubernetes API. TRACE above all is not one: a gateway
// before the API server may answer it with the request, token included (RFC 9110
// section 9.3.8).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// guard decides whether a request may go to address, and puts the path of that
// address in place of the one that the client knows.
func (r *route) guard(req *http.Request, v view, address connector.Address) *statusError {
	// A client that speaks to a proxy where a server is has got something
	// wrong, and a second place for the host is one too many.
	if req.URL.Host != "" || req.URL.Scheme != "" || req.URL.Opaque != "" || req.Method == http.MethodConnect {
		return badRequest("a request to an API server names a path only")
	}
	if !slices.Contains(methods, req.Method) {
		return &statusError{
			code: http.StatusMethodNotAllowed, reason: "MethodNotAllowed",
			message: fmt.Sprintf("the Kubernetes API has no method %.20q", req.Method),
		}
	}
	for _, protocol := range req.Header.Values("Upgrade") {
		if !strings.EqualFold(protocol, "websocket") && !strings.EqualFold(protocol, "SPDY/3.1") {
			return badRequest(fmt.Sprintf("the Kubernetes API upgrades to websocket and SPDY/3.1, not %.50q", protocol))
		}
	}
	if req.Header.Get("Upgrade") != "" && req.Body != http.NoBody {
		return badRequest("a request that upgrades its connection has no body")
	}
	if err := checkPath(req.URL.EscapedPath()); err != nil {
		return badRequest(err.Error())
	}
	prefix, refusal := v.prefix(req, address)
	if refusal != nil {
		return refusal
	}
	for name := range req.Header {
		if hasPrefixFold(name, "Impersonate-") {
			return forbidden(fmt.Sprintf("connector %s does not allow impersonation (header %s): the token decides who you are", r.ref, name))
		}
	}
	if prefix != address.Prefix() {
		// Prefixes have no percent-encoding: they are the same in both forms.
		req.URL.Path = address.Prefix() + strings.TrimPrefix(req.URL.Path, prefix)
		if req.URL.RawPath != "" {
			req.URL.RawPath = address.Prefix() + strings.TrimPrefix(req.URL.RawPath, prefix)
		}
	}
	return nil
}

// below reports whether path is prefix or below it. Both are in escaped form:
// a prefix spelt with percent-encoding is not that prefix.
func below(path, prefix string) bool {
	rest, found := strings.CutPrefix(path, prefix)
	return found && (rest == "" || rest[0] == '/')
}

// maxDecodings is how many servers behind one another are thought of that each
// decode the path once more.
const maxDecodings = 4

// checkPath refuses an escaped path that some server could take for another
// one: with dot segments, in whatever encoding, or with control characters.
func checkPath(escaped string) error {
	if !strings.HasPrefix(escaped, "/") {
		return errors.New("the path must start with a slash")
	}
	for path, n := escaped, 0; ; n++ {
		// Some servers take a backslash for a slash, and end a segment at ";".
		for segment := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
			name, _, _ := strings.Cut(segment, ";")
			if name == "." || name == ".." {
				return errors.New("the path must not have . or .. segments, encoded or not")
			}
		}
		if strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return errors.New("the path must not have control characters, encoded or not")
		}
		decoded := unescape(path)
		if decoded == path {
			return nil // no further server could decode it
		}
		if n == maxDecodings {
			return fmt.Errorf("the path is encoded more than %d times", maxDecodings)
		}
		path = decoded
	}
}

// unescape decodes what can be decoded and leaves the rest, as lenient servers
// do. url.PathUnescape would give up at the first bad escape.
func unescape(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := strconv.ParseUint(path[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// overriding are headers that name another path or method than the request line
// does. Some gateways before an API server follow them, and what the guard has
// checked would not be what is served.
var overriding = []string{"X-Original-Url", "X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override"}

// rewriteHeader makes the header of a client's request that of one of ours.
func rewriteHeader(h http.Header, token string) {
	for name := range h {
		if hasPrefixFold(name, "Proxy-") || hasPrefixFold(name, "X-Remote-") || hasPrefixFold(name, "X-Forwarded-") ||
			slices.ContainsFunc(overriding, func(o string) bool { return hasPrefixFold(name, o) }) {
			delete(h, name)
		}
	}
	h.Del("Cookie")
	h.Del("Forwarded")
	dropBearerProtocols(h)
	h.Set("Authorization", "Bearer "+token)
}

// dropBearerProtocols removes tokens from the subprotocols that a WebSocket
// client offers: there is one token only.
func dropBearerProtocols(h http.Header) {
	const name = "Sec-Websocket-Protocol"
	offered := h.Values(name)
	if len(offered) == 0 {
		return
	}
	var kept []string
	for protocol := range strings.SplitSeq(strings.Join(offered, ","), ",") {
		if protocol = strings.TrimSpace(protocol); protocol != "" && !hasPrefixFold(protocol, websocketBearer) {
			kept = append(kept, protocol)
		}
	}
	h.Del(name)
	if len(kept) > 0 {
		h.Set(name, strings.Join(kept, ", "))
	}
}

// hasPrefixFold compares as lenient servers do, some of which take an underscore
// for a hyphen.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(strings.ReplaceAll(s[:len(prefix)], "_", "-"), prefix)
}
