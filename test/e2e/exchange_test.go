package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// request is what a client sends, and what the API server answers to that.
type request struct {
	name   string
	method string // GET if it is empty
	// path is below the API server's address, with the query. In it and in the body
	// {namespace} and {rv} are the namespace and the resourceVersion in the last
	// answer.
	path   string
	header map[string]string
	body   string
	// chunked says that the length of the body is not told before it.
	chunked bool
	// status is the code of the answer, so that a case cannot turn into another.
	status int
	// changes says that the answer is another one each time: it has a time, a UID
	// or a resourceVersion in it that was made for it.
	changes bool
}

// answer is what a client gets to see.
type answer struct {
	Informational []string
	Status        int
	Header        http.Header
	Length        int64 // as it was announced; -1 if it was not
	Body          string
	// Broken says that the body did not end as it should.
	Broken  bool
	Trailer http.Header
}

// tour is requests one after the other on one way.
type tour struct {
	way             *way
	namespace       string
	resourceVersion string
}

// do sends a request and returns the answer in a form in which it can be compared
// with that on another way.
func (o *tour) do(t *testing.T, r request) *answer {
	t.Helper()
	got := &answer{}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		if code == http.StatusContinue {
			// A backend's comes through the API server, with some headers, beside that
			// of the API server itself or, if it is fast, instead of it.
			header = nil
		}
		got.Informational = slices.Compact(append(got.Informational, fmt.Sprint(code, header)))
		return nil
	}}
	var body io.Reader = strings.NewReader(o.fill(r.body))
	if r.chunked {
		body = io.MultiReader(body) // whose length net/http does not know
	}
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(t.Context(), trace), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, o.way.config.Host+o.fill(r.path), body)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+o.way.config.BearerToken)
	req.Header.Set("User-Agent", "e2e")
	// The API server answers with the same one, and else with one that it makes up.
	req.Header.Set("Audit-Id", "e2e")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := o.way.client.Do(req)
	require.NoError(t, err, "%s, %s", r.name, o.way.name)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	got.Status, got.Header, got.Length, got.Body, got.Broken, got.Trailer = resp.StatusCode, resp.Header, resp.ContentLength, string(content), err != nil, resp.Trailer
	require.Equal(t, r.status, got.Status, "%s, %s: %s", r.name, o.way.name, got.Body)
	if version := resourceVersion(content); version != "" {
		o.resourceVersion = version
	}
	o.normalize(t, r, resp, got)
	return got
}

func (o *tour) fill(text string) string {
	// A Replacer takes seconds for a large body.
	return strings.ReplaceAll(strings.ReplaceAll(text, "{namespace}", o.namespace), "{rv}", o.resourceVersion)
}

func resourceVersion(body []byte) string {
	var object metav1.PartialObjectMetadata
	if json.Unmarshal(body, &object) != nil {
		return ""
	}
	return object.ResourceVersion
}

// What is made anew for an answer.
var passing = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`"resourceVersion":"\d+"`), `"resourceVersion":"RV"`},
	{regexp.MustCompile(`resource version: \d+ \(\d+\)`), "resource version: RV"},
	{regexp.MustCompile(`"\d+(s|m|m\d+s)"`), `"AGE"`}, // in a Table
}

// normalize removes what differs on purpose, and only that.
func (o *tour) normalize(t *testing.T, r request, resp *http.Response, got *answer) {
	t.Helper()
	assert.NotEmpty(t, got.Header.Get("Date"), "%s, %s", r.name, o.way.name)
	got.Header.Del("Date")
	// It is about one connection, and the sidecar has two.
	got.Header.Del("Connection")
	if location, err := resp.Location(); err == nil {
		// On the localhost port the API is below a path: a client that follows has to
		// arrive there.
		got.Header.Set("Location", strings.TrimPrefix(location.String(), o.way.config.Host))
	}
	if r.changes {
		got.Body = strings.ReplaceAll(got.Body, o.namespace, "NAMESPACE")
		for _, p := range passing {
			got.Body = p.pattern.ReplaceAllString(got.Body, p.instead)
		}
		if got.Length >= 0 {
			got.Length = 0 // a resourceVersion may be longer by a digit
			got.Header.Del("Content-Length")
		}
		if got.Header.Get("Last-Modified") != "" {
			got.Header.Set("Last-Modified", "TIME")
		}
	}
	if got.Broken {
		got.Body = got.Body[:1] // how much of it arrives is a matter of the moment
	}
	if len(got.Body) > 16<<10 {
		got.Body = fmt.Sprintf("%s… (%d bytes with the hash %x)", got.Body[:64], len(got.Body), sha256.Sum256([]byte(got.Body)))
	}
}

// compare sends the requests one after the other, on every way, and compares the
// answers with those on the first.
func compare(t *testing.T, tours []*tour, requests []request) {
	t.Helper()
	for _, r := range requests {
		if r.method == "" {
			r.method = http.MethodGet
		}
		t.Run(r.name, func(t *testing.T) {
			want := tours[0].do(t, r)
			for _, tour := range tours[1:] {
				assert.Equal(t, want, tour.do(t, r), tour.way.name)
			}
		})
	}
}

// toursIn are tours of all ways in one namespace, for answers that are the same.
func toursIn(ways []*way, namespace string) []*tour {
	tours := make([]*tour, len(ways))
	for i, w := range ways {
		tours[i] = &tour{way: w, namespace: namespace}
	}
	return tours
}
