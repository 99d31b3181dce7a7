package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// request is a compiled HTTPProbe.
type request struct {
	method  string
	path    *template
	headers []header
	expect  *expectation
}

type header struct {
	name  string
	value *template
}

// Question is a request to a target, and which answers to it are good. It may hold
// a secret: keep it no longer than asking takes.
type Question struct {
	method string
	url    *url.URL // without scheme and host
	header http.Header
	expect *expectation
}

// headersOfOurs are set by what sends the request, or say how the connection is
// used, or ask for what the answer must not be.
var headersOfOurs = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Expect", "Host", "Http2-Settings",
	"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func compileRequest(field string, p *v1alpha1.HTTPProbe) (*request, error) {
	r := &request{method: p.Method}
	var problems, err error
	wrong := func(name string, unsupported bool, problem string) {
		problems = errors.Join(problems, &FieldError{Field: field + name, Problem: problem, Unsupported: unsupported})
	}
	switch p.Method {
	case "":
		r.method = http.MethodGet
	case http.MethodGet, http.MethodPost:
	default:
		wrong(".method", false, "is neither GET nor POST")
	}
	if p.Host != "" {
		wrong(".host", true, "another host than that of the Connector's address is not supported, because what authenticates goes there only; remove it")
	}
	if p.Scheme != "" && p.Scheme != "https" {
		wrong(".scheme", true, "only https is supported; remove it")
	}
	if p.Path == "" {
		wrong(".path", false, "is empty; it begins with a slash")
	}
	if r.path, err = compileTemplate(field+".path", p.Path); err != nil {
		problems = errors.Join(problems, err)
	}
	for i, h := range p.HTTPHeaders {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		at := fmt.Sprintf(".httpHeaders[%d]", i)
		switch {
		case !isToken(h.Name):
			wrong(at+".name", false, "is not the name of a header")
		case slices.Contains(headersOfOurs, name) || strings.HasPrefix(name, "Proxy-"):
			wrong(at+".name", false, name+" must not be set by a class; remove it")
		}
		value, err := compileTemplate(field+at+".value", h.Value)
		if err != nil {
			problems = errors.Join(problems, err)
		}
		r.headers = append(r.headers, header{name, value})
	}
	expression := ""
	if p.Response != nil {
		expression = p.Response.CEL
	}
	if r.expect, err = compileExpectation(field+".response.cel", expression); err != nil {
		problems = errors.Join(problems, err)
	}
	if problems != nil {
		return nil, problems
	}
	return r, nil
}

// isToken reports whether a text can be the name of a header (RFC 9110, section
// 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func (r *request) render(data *view) (*Question, error) {
	q := &Question{method: r.method, header: make(http.Header), expect: r.expect}
	path, err := r.path.render(data)
	if err != nil {
		return nil, err
	}
	var problem string
	if q.url, problem = parsePath(strings.TrimSpace(path)); problem != "" {
		return nil, r.path.unrenderable(problem)
	}
	for _, h := range r.headers {
		value, err := h.value.render(data)
		if err != nil {
			return nil, err
		}
		value = strings.TrimSpace(value)
		if !isPrintable(value) {
			return nil, h.value.unrenderable("the value has line breaks or other characters that are not printable ASCII; look for them in the Secret")
		}
		// A template that has nothing to say, as one without a Secret, sends nothing.
		if value != "" {
			q.header.Add(h.name, value)
		}
	}
	return q, nil
}

// parsePath reads a path with its query. The problem is "" if it is one.
func parsePath(path string) (_ *url.URL, problem string) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return nil, "the path does not begin with a slash; put one there"
	case strings.HasPrefix(path, "//"):
		return nil, "the path begins with two slashes; a parameter may be missing between them"
	case !isPrintable(path) || strings.Contains(path, " "):
		return nil, "the path has spaces or other characters that are not printable ASCII; encode them by urlquery"
	case strings.Contains(path, "#"):
		return nil, "the path has a fragment, which no server gets; remove # and what follows"
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, "the path is not one; see its percent signs"
	}
	return u, ""
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Fingerprint tells questions apart without what is in them.
func (q *Question) Fingerprint() [sha256.Size]byte {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q", q.method, q.url.String(), q.expect.source)
	for _, name := range slices.Sorted(maps.Keys(q.header)) {
		for _, value := range q.header[name] {
			fmt.Fprintf(hash, " %q %d ", name, len(value))
			hash.Write([]byte(value))
		}
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
