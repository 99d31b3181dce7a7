package probe_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// Whatever a template says, it ends soon, and what it renders fits into a request.
// What fails says nothing of the Secret.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"/", `/{{ trimSuffix "/" (urlParse .Connector.Spec.Address).path }}/livez`,
		`/{{ range $i, $p := .Connector.Spec.Params }}{{ if eq .Name "a" }}{{ .Value.StringVal | b64enc }}{{ else }}{{ break }}{{ end }}{{ end }}`,
		`{{ $a := "x" }}{{ range 99999999 }}{{ $a = print $a $a }}{{ end }}`, `/{{ printf "%099.99v" .Connector }}`,
		`/{{ .Secret.StringData.token | quote | sha256sum | trunc 9 }}`, `/{{ substr 2 1 "abc" }}{{ index "a" 9 }}`,
		`{{ with list 1 "a" }}{{ join "-" . }}{{ first . }}{{ end }}`, `/{{ urlJoin (urlParse "a://b") }}{{ b64dec "?" }}`,
		`/{{ atoi .Secret.StringData.token }}{{ slice .Secret.StringData.token 3 }}`, `{{ define "a" }}{{ template "a" }}{{ end }}`,
		`/{{ split "/" "a/b" }}{{ ternary 1 2 true }}{{ coalesce 0 "" .Secret }}`, `/{{ .Secret.StringData.token | replace "" "x" | html | js | urlquery }}`,
	} {
		f.Add(seed)
	}
	c := &v1alpha1.Connector{Spec: v1alpha1.ConnectorSpec{
		Address: "https://host/prefix",
		Params:  []v1alpha1.Param{{Name: "a", Value: "b"}, {Name: "c", Value: strings.Repeat("d", 4096)}},
	}}
	f.Fuzz(func(t *testing.T, source string) {
		class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{AuthProbes: []v1alpha1.AuthProbe{{
			AuthName: "a",
			Probe:    &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{Path: source, HTTPHeaders: []v1alpha1.HTTPHeader{{Name: "A", Value: source}}}},
		}}})
		if err != nil {
			require.NotEmpty(t, fieldErrors(err))
			return
		}
		if _, err := class.Auth("a", c, map[string][]byte{"token": []byte(token)}); err != nil {
			requireKind(t, probe.Unrenderable, err)
			require.Less(t, len(err.Error()), 400)
			require.NotContains(t, err.Error(), "\n")
		}
	})
}

// Whatever an expression says about whatever answer, it ends soon.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"", "true", "response.statusCode < 500", "response.body.a.b == 'c'", "response.headers['a'][0].startsWith('b')",
		"response.bodyString.matches('(a*)*b') || response.bodyString.size() > 3", "[1,2,3].map(a, [a,a].map(b, response.bodyString)).size() > 2",
		"response.body.all(x, x.exists(y, y == 'a'))", "has(response.body.a) ? response.body.a : response.body",
		"duration(response.bodyString) > duration('1s')", "timestamp(response.bodyString).getFullYear() == 1",
	} {
		f.Add(seed, `{"a":{"b":"c"}}`)
		f.Add(seed, strings.Repeat("a", 1000))
	}
	body := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	f.Cleanup(server.Close)
	address, err := connector.ParseAddress(server.URL)
	require.NoError(f, err)
	target, err := probe.NewTarget(address, certificatesOf(asList(server)), probe.Options{})
	require.NoError(f, err)
	f.Cleanup(target.Close)
	f.Fuzz(func(t *testing.T, source, answer string) {
		class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{AuthProbes: []v1alpha1.AuthProbe{{
			AuthName: "a",
			Probe:    &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{Path: "/", Response: &v1alpha1.HTTPResponse{CEL: source}}},
		}}})
		if err != nil {
			require.NotEmpty(t, fieldErrors(err))
			return
		}
		question, err := class.Auth("a", &v1alpha1.Connector{}, nil)
		require.NoError(t, err)
		body = answer
		if _, err := target.Accepts(t.Context(), question); err != nil {
			requireKind(t, probe.UnexpectedAnswer, err)
		}
	})
}
