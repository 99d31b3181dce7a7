package probe_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// compile compiles the spec of a class, in YAML.
func compile(t *testing.T, text string) (*probe.Class, error) {
	t.Helper()
	var spec v1alpha1.ConnectorClassSpec
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &spec))
	return probe.Compile(&spec)
}

// A class is told everything that is wrong with it, field by field.
func TestCompile(t *testing.T) {
	type problem struct {
		field, text string
		unsupported bool
	}
	for name, tc := range map[string]struct {
		http  string // the liveness probe
		wants []problem
	}{
		"good":            {"path: /", nil},
		"GET":             {"{path: /, method: GET, scheme: https, disableRedirect: false}", nil},
		"no slash in it":  {"path: '{{ .Connector.Spec.Address }}'", nil}, // who knows
		"method":          {"{path: /, method: PUT}", []problem{{"method", "is neither GET nor POST", false}}},
		"host":            {"{path: /, host: example.com}", []problem{{"host", "another host than that of the Connector's address is not supported", true}}},
		"scheme":          {"{path: /, scheme: http}", []problem{{"scheme", "only https is supported", true}}},
		"no path":         {"path: ''", []problem{{"path", "is empty; it begins with a slash", false}}},
		"template":        {"path: '/{{ .Connector'", []problem{{"path", "is not a Go template with the functions that probes have: line 1: unclosed action", false}}},
		"function":        {"path: '/{{ env \"HOME\" }}'", []problem{{"path", `function "env" not defined`, false}}},
		"our function":    {"path: '/{{ turn 1 }}'", []problem{{"path", `function "turn" not defined`, false}}},
		"define":          {"path: '/{{ define \"a\" }}{{ end }}'", []problem{{"path", "defines templates, which probes must not", false}}},
		"define only":     {"path: '{{ define \"a\" }}b{{ end }}'", []problem{{"path", "defines templates, which probes must not", false}}},
		"template call":   {"path: '/{{ if true }}{{ template \"\" . }}{{ end }}'", []problem{{"path", "calls templates, which probes must not", false}}},
		"long":            {"path: /" + strings.Repeat("a", 4096), []problem{{"path", "is longer than 4096 bytes", false}}},
		"header name":     {"{path: /, httpHeaders: [{name: 'A B', value: x}]}", []problem{{"httpHeaders[0].name", "is not the name of a header", false}}},
		"header of ours":  {"{path: /, httpHeaders: [{name: a, value: x}, {name: hOst, value: x}]}", []problem{{"httpHeaders[1].name", "Host must not be set by a class", false}}},
		"proxy header":    {"{path: /, httpHeaders: [{name: proxy-authorization, value: x}]}", []problem{{"httpHeaders[0].name", "Proxy-Authorization must not", false}}},
		"header value":    {"{path: /, httpHeaders: [{name: a, value: '{{'}]}", []problem{{"httpHeaders[0].value", "is not a Go template", false}}},
		"CEL":             {"{path: /, response: {cel: 'response.statusCode =='}}", []problem{{"response.cel", "is not an expression in CEL about response: line 1:", false}}},
		"CEL field":       {"{path: /, response: {cel: 'response.statuscode == 200'}}", []problem{{"response.cel", "undefined field 'statuscode'", false}}},
		"CEL variable":    {"{path: /, response: {cel: 'statusCode == 200'}}", []problem{{"response.cel", "undeclared reference to 'statusCode'", false}}},
		"CEL type":        {"{path: /, response: {cel: 'response.statusCode'}}", []problem{{"response.cel", "is not true or false but int", false}}},
		"CEL mismatch":    {"{path: /, response: {cel: 'response.statusCode == \"200\"'}}", []problem{{"response.cel", "no matching overload", false}}},
		"CEL expression":  {"{path: /, response: {cel: 'response.bodyString.matches(\"(\")'}}", []problem{{"response.cel", "line 1:29: the pattern of matches is none: error parsing regexp: missing closing )", false}}},
		"CEL long":        {"{path: /, response: {cel: '" + strings.Repeat("true && ", 600) + "true'}}", []problem{{"response.cel", "is longer than 4096 bytes", false}}},
		"CEL dynamic":     {"{path: /, response: {cel: 'response.body.ok'}}", nil},
		"CEL nested deep": {"{path: /, response: {cel: '[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))'}}", []problem{{"response.cel", "comprehension exceeds nesting limit", false}}},
		"CEL chain":       {"{path: /, response: {cel: '[response.bodyString]" + strings.Repeat(".map(a, a+a)", 70) + " == []'}}", []problem{{"response.cel", "comprehension exceeds nesting limit", false}}},
		"several": {"{path: '{{', scheme: http, response: {cel: '1'}}", []problem{
			{"scheme", "only https", true}, {"path", "is not a Go template", false}, {"response.cel", "is not true or false", false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t, "livenessProbe:\n  http:\n    "+tc.http)
			if tc.wants == nil {
				require.NoError(t, err)
				return
			}
			found := fieldErrors(err)
			require.Len(t, found, len(tc.wants), "%v", err)
			for i, want := range tc.wants {
				assert.Equal(t, "spec.livenessProbe.http."+want.field, found[i].Field)
				assert.Contains(t, found[i].Problem, want.text)
				assert.Equal(t, want.unsupported, found[i].Unsupported)
				assert.NotContains(t, found[i].Error(), "\n")
				assert.Less(t, len(found[i].Problem), 300)
			}
		})
	}
}

func TestCompileAuthProbes(t *testing.T) {
	_, err := compile(t, `
livenessProbe: {api: {path: /}}
authProbes:
- {authName: a, probe: {http: {path: /}}}
- {authName: b, probe: {http: {path: "{{"}}}
- {authName: c}
- {authName: d, probe: {}}
- {authName: e, probe: {api: {path: /}}}
`)
	var fields []string
	for _, found := range fieldErrors(err) {
		fields = append(fields, found.Field)
		assert.Equal(t, strings.HasSuffix(found.Field, ".api"), found.Unsupported)
	}
	require.Equal(t, []string{"spec.livenessProbe.api", "spec.authProbes[1].probe.http.path", "spec.authProbes[4].probe.api"}, fields)
}

func fieldErrors(err error) []*probe.FieldError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*probe.FieldError
		for _, err := range joined.Unwrap() {
			all = append(all, fieldErrors(err)...)
		}
		return all
	}
	if found := (*probe.FieldError)(nil); errors.As(err, &found) {
		return []*probe.FieldError{found}
	}
	return nil
}

// A class that asks nothing has no questions.
func TestNoQuestions(t *testing.T) {
	class, err := compile(t, "authProbes: [{authName: a}]")
	require.NoError(t, err)
	c := &v1alpha1.Connector{}
	question, err := class.Liveness(c)
	require.NoError(t, err)
	require.Nil(t, question)
	for _, name := range []string{"a", "b"} {
		require.False(t, class.AsksAuth(name))
		question, err = class.Auth(name, c, nil)
		require.NoError(t, err)
		require.Nil(t, question)
	}
}

// git is a class as the documentation of the published API has it.
const git = `
params:
- {name: depth, default: "1"}
- {name: other, default: {"not": "a string"}}
auth:
  types:
  - {name: basicAuth, secretType: kubernetes.io/basic-auth, optional: true}
authProbes:
- authName: basicAuth
  params:
  - {name: repository, type: string}
  - {name: service, type: string, default: git-upload-pack}
  probe:
    http:
      path: /{{- range .Connector.Spec.Auth.Params }}{{- if eq .Name "repository" }}{{ .Value.StringVal }}{{ end }}{{- end }}/info/refs?service={{ (index .Connector.Spec.Auth.Params 1).Value.StringVal }}&depth={{ (index .Connector.Spec.Params 0).Value.StringVal }}
      httpHeaders:
      - name: Authorization
        value: >-
          {{- if .Secret }}Basic {{ printf "%s:%s" .Secret.StringData.username .Secret.StringData.password | b64enc }} {{- end }}
      - {name: X-Two, value: a}
      - {name: x-two, value: "{{ .Connector.Namespace }}/{{ .Connector.Name }}"}
livenessProbe:
  http:
    path: /
`

func TestPublishedClass(t *testing.T) {
	class, err := compile(t, git)
	require.NoError(t, err)
	var asked []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, r.Method+" "+r.RequestURI+" "+user+" "+password+" "+strings.Join(r.Header["X-Two"], ","))
		if r.URL.Path != "/" && password != "p:w" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	target := open(t, server.URL, server)
	c := &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "code"},
		Spec: v1alpha1.ConnectorSpec{
			Address: server.URL + "/ignored", // the path of the address is not put before the path
			Auth:    &v1alpha1.ConnectorAuth{Params: []v1alpha1.Param{{Name: "repository", Value: "a/b.git"}}},
		},
	}
	question, err := class.Liveness(c)
	require.NoError(t, err)
	require.NoError(t, target.Target.Alive(t.Context(), question))
	question, err = class.Auth("basicAuth", c, map[string][]byte{"username": []byte("jane"), "password": []byte("p:w")})
	require.NoError(t, err)
	account, err := target.Target.Accepts(t.Context(), question)
	require.NoError(t, err)
	require.Equal(t, probe.Account{}, account)
	question, err = class.Auth("basicAuth", c, nil)
	require.NoError(t, err)
	_, err = target.Target.Accepts(t.Context(), question)
	requireKind(t, probe.Unauthenticated, err)
	const path = "/a/b.git/info/refs?service=git-upload-pack&depth=1"
	require.Equal(t, []string{"GET /   ", "GET " + path + " jane p:w a,team/code", "GET " + path + "   a,team/code"}, asked)

	c.Spec.Auth.Params = nil
	_, err = class.Auth("basicAuth", c, nil)
	requireKind(t, probe.Unrenderable, err) // index 1 is out of range: repository is missing
}

// Templates that fail say which field of the class it is, and nothing of the Secret.
func TestRender(t *testing.T) {
	for name, tc := range map[string]struct {
		path, header string
		want         string // the path, or what is wrong
		failed       bool
	}{
		"constant":            {path: "/a/b?c=d%20e", want: "/a/b?c=d%20e"},
		"prefix":              {path: `{{ trimSuffix "/" (urlParse .Connector.Spec.Address).path }}/livez`, want: "/pre/fix/livez"},
		"spaces around":       {path: " {{ `/a` }} \n", want: "/a"},
		"default":             {path: `/{{ index .Secret.StringData "nothing" | default "x" }}`, want: "/x"},
		"functions":           {path: `/{{ list "a" 1 true | join "," }}/{{ replace "a" "b" "aa" }}/{{ printf "%03d%%%-4s" 7 "x" | urlquery }}/{{ splitList "/" "a/b" | last | upper }}`, want: "/a,1,true/bb/007%25x+++/B"},
		"loop":                {path: `/{{ range $i, $e := splitList "" "abc" }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $e }}{{ else }}none{{ end }}`, want: "/ac"},
		"empty":               {path: "{{ if false }}/{{ end }}", failed: true, want: "spec.authProbes[0].probe.http.path cannot be rendered: the path does not begin with a slash"},
		"relative":            {path: "a", failed: true, want: "the path does not begin with a slash"},
		"two slashes":         {path: "//evil.example/", failed: true, want: "the path begins with two slashes; a parameter may be missing"},
		"space":               {path: "/a b", failed: true, want: "the path has spaces or other characters"},
		"line break":          {path: "/a{{ `\n` }}b", failed: true, want: "the path has spaces or other characters"},
		"fragment":            {path: "/a#b", failed: true, want: "the path has a fragment"},
		"bad escape":          {path: "/%zz", failed: true, want: "the path is not one; see its percent signs"},
		"no key":              {path: "/{{ .Secret.StringData.nothing }}", failed: true, want: `spec.authProbes[0].probe.http.path cannot be rendered: ".Secret.StringData.nothing": there is no such key; add it`},
		"no field":            {path: "/{{ .Connector.Status }}", failed: true, want: `".Connector.Status": it does not fit the values`},
		"no Secret":           {path: "/{{ with $x := .Connector }}{{ end }}{{ $.Nothing }}", failed: true, want: `it does not fit the values`},
		"function fails":      {path: `/{{ urlParse (printf ":%s" .Secret.StringData.token) }}`, failed: true, want: `it does not fit the values`},
		"header":              {path: "/", header: "{{ .Secret.StringData.nothing }}", failed: true, want: "spec.authProbes[0].probe.http.httpHeaders[0].value cannot be rendered"},
		"header, two lines":   {path: "/", header: "{{ .Secret.StringData.lines }}", failed: true, want: "the value has line breaks or other characters"},
		"header, break after": {path: "/", header: "{{ .Secret.StringData.token }}\n", want: "/"},
	} {
		t.Run(name, func(t *testing.T) {
			class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{AuthProbes: []v1alpha1.AuthProbe{{
				AuthName: "a",
				Probe: &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{
					Path:        tc.path,
					HTTPHeaders: []v1alpha1.HTTPHeader{{Name: "X-Token", Value: tc.header}},
				}},
			}}})
			require.NoError(t, err)
			got := ""
			server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
			c := &v1alpha1.Connector{Spec: v1alpha1.ConnectorSpec{Address: "https://host/pre/fix/"}}
			question, err := class.Auth("a", c, map[string][]byte{"token": []byte(token + "\n"), "lines": []byte(token + "\n" + token)})
			if tc.failed {
				requireKind(t, probe.Unrenderable, err)
				require.ErrorContains(t, err, tc.want)
				return
			}
			require.NoError(t, err)
			_, err = open(t, server.URL, server).Target.Accepts(t.Context(), question)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestRenderWithoutSecret(t *testing.T) {
	class, err := compile(t, "livenessProbe: {http: {path: '/{{ .Secret.StringData.token }}'}}")
	require.NoError(t, err)
	_, err = class.Liveness(&v1alpha1.Connector{})
	requireKind(t, probe.Unrenderable, err)
	require.ErrorContains(t, err, "there is no Secret; name one, or let the template do without")
}

// A class cannot keep the controller busy, nor fill its memory. Without the bounds
// these would end the test by its timeout or by the memory of the machine.
func TestHostileTemplates(t *testing.T) {
	const work, long = "it takes too much work", "it becomes too long"
	for name, tc := range map[string]struct{ path, want string }{
		"empty loop":          {`/{{ range 9000000000000000000 }}{{ end }}`, work},
		"loops":               {`/{{ range 99999 }}{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}{{ end }}`, work},
		"loop in else":        {`/{{ if false }}{{ else }}{{ range 9000000000000000000 }}{{ end }}{{ end }}`, work},
		"loop in with":        {`/{{ with 1 }}{{ range 9000000000000000000 }}{{ end }}{{ end }}`, work},
		"loop in else of one": {`/{{ range 0 }}{{ else }}{{ range 9000000000000000000 }}{{ end }}{{ end }}`, work},
		"continue":            {`/{{ range 9000000000000000000 }}{{ continue }}{{ end }}`, work},
		"output":              {`/{{ range 9000000000000000000 }}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}`, long},
		"doubling":            {`/{{ $a := "aaaaaaaa" }}{{ range 99 }}{{ $a = print $a $a }}{{ end }}{{ $a }}`, long},
		"doubling by cat":     {`/{{ $a := "aaaaaaaa" }}{{ range 99 }}{{ $a = cat $a $a }}{{ end }}{{ $a }}`, long},
		"doubling a list":     {`/{{ $a := list 1 }}{{ range 99 }}{{ $a = list $a $a }}{{ end }}{{ $a }}`, "a list has something in it that is no text"},
		"replace":             {`/{{ $a := "aaaaaaaa" }}{{ range 11 }}{{ $a = print $a $a }}{{ end }}{{ replace "a" $a $a }}`, long},
		"join":                {`/{{ $a := "aaaaaaaa" }}{{ range 11 }}{{ $a = print $a $a }}{{ end }}{{ splitList "" $a | join $a }}`, long},
		"width":               {`/{{ printf "%1000000d" 1 }}`, "printf has a width"},
		"width, flags":        {`/{{ printf "%-+0999999d" 1 }}`, "printf has a width"},
		"precision":           {`/{{ printf "%.1000000f" 1.0 }}`, "printf has a width"},
		"width by argument":   {`/{{ printf "%*d" 1000000 1 }}`, "printf has a width"},
		"width by index":      {`/{{ printf "%[1]*d" 1000000 }}`, "printf has a width"},
		"much work":           {`/{{ $a := "aaaaaaaa" }}{{ range 11 }}{{ $a = print $a $a }}{{ end }}{{ range 9000000000000000000 }}{{ $b := sha256sum $a }}{{ end }}`, work},
		"the Connector":       {`/{{ range 9000000000000000000 }}{{ $b := toString $.Connector }}{{ end }}`, work},
		"deep":                {"/" + strings.Repeat("{{if 1}}", 250) + "{{range 9000000000000000000}}{{end}}" + strings.Repeat("{{end}}", 250), work},
	} {
		t.Run(name, func(t *testing.T) {
			class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{LivenessProbe: &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{Path: tc.path}}})
			require.NoError(t, err)
			for range 2 { // the bounds are for each rendering
				_, err = class.Liveness(&v1alpha1.Connector{Spec: v1alpha1.ConnectorSpec{Address: "https://host"}})
				requireKind(t, probe.Unrenderable, err)
				require.ErrorContains(t, err, tc.want)
			}
		})
	}
}

// Every probe of a class is one question: two that differ in anything are told
// apart, without keeping what is in them.
func TestFingerprint(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, http := range []string{
		"path: /", "path: /a", "{path: /, method: POST}", "{path: /, httpHeaders: [{name: a, value: b}]}",
		"{path: /, httpHeaders: [{name: a, value: c}]}", "{path: /, response: {cel: 'true'}}",
	} {
		if strings.HasPrefix(http, "path") {
			http = "{" + http + "}"
		}
		class, err := compile(t, "livenessProbe: {http: "+http+"}")
		require.NoError(t, err)
		for range 2 {
			question, err := class.Liveness(&v1alpha1.Connector{})
			require.NoError(t, err)
			if other, ok := seen[question.Fingerprint()]; ok {
				require.Equal(t, http, other)
			}
			seen[question.Fingerprint()] = http
		}
	}
	require.Len(t, seen, 6)
}

func TestExpectations(t *testing.T) {
	for name, tc := range map[string]struct {
		cel    string
		status int
		body   string
		want   bool
	}{
		"none, 200":          {"", 200, "", true},
		"none, 299":          {"", 299, "", true},
		"none, 300":          {"", 300, "", false},
		"none, 404":          {"", 404, "", false},
		"status":             {"response.statusCode == 404", 404, "", true},
		"body":               {"response.body.status == 'healthy' && response.body.uptime > 60", 200, `{"status":"healthy","uptime":61}`, true},
		"body, other":        {"response.body.status == 'healthy'", 200, `{"status":"ill"}`, false},
		"no body":            {"response.body.status == 'healthy'", 200, "", false},
		"null":               {"response.body == null", 200, "<html>", true},
		"an int in it":       {"response.body.n == 3 && response.body.errors.size() == 0", 200, `{"n":3,"errors":[]}`, true},
		"has":                {"!has(response.body.a) && has(response.body.b.c)", 200, `{"b":{"c":null}}`, true},
		"not true":           {"response.body.ok", 200, `{"ok":"true"}`, false},
		"text":               {"response.bodyString.contains('hello') && response.bodyString.matches('^h.*o$')", 200, "hello", true},
		"headers":            {"response.headers['x-test'][1] == 'b' && !('X-Test' in response.headers)", 200, "", true},
		"no such header":     {"response.headers['nothing'][0] == 'b'", 200, "", false},
		"costly":             {"[0,1,2,3,4,5,6,7,8,9].map(a, [0,1,2,3,4,5,6,7,8,9].map(b, [0,1,2,3,4,5,6,7,8,9].map(c, response.bodyString + response.bodyString))).size() == 10", 200, strings.Repeat("a", 60<<10), false},
		"cut in the middle":  {"response.body == null && size(response.bodyString) == 65536", 200, `["` + strings.Repeat("a", 70<<10) + `"]`, true},
		"deeper than JSON's": {"response.body == null", 200, strings.Repeat("[", 20000), true},
	} {
		t.Run(name, func(t *testing.T) {
			class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{LivenessProbe: &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{
				Path: "/", Response: &v1alpha1.HTTPResponse{CEL: tc.cel},
			}}})
			require.NoError(t, err)
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Add("X-Test", "a")
				w.Header().Add("x-test", "b")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body)) // the rest of a long one is not read
			})
			address, err := connector.ParseAddress(server.URL)
			require.NoError(t, err)
			target := asker{openAt(t, address, certificatesOf(asList(server)), probe.Options{}).Target, class, &v1alpha1.Connector{}}
			err = target.Alive(t.Context())
			if tc.want {
				require.NoError(t, err)
				return
			}
			requireKind(t, probe.UnexpectedAnswer, err)
		})
	}
}

// A default that is no text is not for templates, and breaks none.
func TestDefaults(t *testing.T) {
	class, err := probe.Compile(&v1alpha1.ConnectorClassSpec{
		AddressExtensions: []v1alpha1.ParamSpec{{Name: "e", ParamConstraints: v1alpha1.ParamConstraints{Default: &apiextensionsv1.JSON{Raw: []byte(`"f"`)}}}},
		Params: []v1alpha1.ParamSpec{
			{Name: "a", ParamConstraints: v1alpha1.ParamConstraints{Default: &apiextensionsv1.JSON{Raw: []byte(`"b"`)}}},
			{Name: "c", ParamConstraints: v1alpha1.ParamConstraints{Default: &apiextensionsv1.JSON{Raw: []byte(`{}`)}}},
			{Name: "d"},
		},
		LivenessProbe: &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{
			Path: "/{{ range .Connector.Spec.Params }}{{ .Name }}={{ .Value.StringVal }};{{ end }}{{ range .Connector.Spec.AddressExtensions }}{{ .Value.StringVal }}{{ end }}",
		}},
	})
	require.NoError(t, err)
	got := ""
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	target := open(t, server.URL, server)
	target.class = class
	require.NoError(t, target.Alive(t.Context()))
	require.Equal(t, "/a=b;f", got)
	target.connector.Spec.Params = []v1alpha1.Param{{Name: "d", Value: "e"}, {Name: "a", Value: "z"}}
	require.NoError(t, target.Alive(t.Context()))
	require.Equal(t, "/d=e;a=z;f", got)
}
