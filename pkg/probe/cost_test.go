package probe_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

func compileExpression(expression string) (*probe.Class, error) {
	return probe.Compile(&v1alpha1.ConnectorClassSpec{LivenessProbe: &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{
		Path: "/", Response: &v1alpha1.HTTPResponse{CEL: expression},
	}}})
}

// What takes too much work is told when the class is compiled, where that is known.
func TestPatterns(t *testing.T) {
	const version = `^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$`
	for name, tc := range map[string]struct{ expression, want string }{
		"a version":            {`response.body.version.matches(r'` + version + `')`, ""},
		"a UUID":               {`response.headers['x-id'][0].matches('^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')`, ""},
		"as a function":        {`matches(response.bodyString, 'a+') && matches('(', 'a+')`, ""},
		"many repetitions":     {`response.bodyString.matches('((a?){30}){30}b')`, "line 1:29: the pattern of matches takes too much work: 3663 states, where 150 are allowed; repeat less in it"},
		"many, as a function":  {`matches(response.bodyString, '((a?){30}){30}b')`, "the pattern of matches takes too much work"},
		"many, in a loop":      {`[0, 1].all(a, response.bodyString.matches('(a{0,30}){0,30}b') || true)`, "the pattern of matches takes too much work"},
		"more than Go's limit": {`response.bodyString.matches('((a{1000}){1000}){1000}')`, "the pattern of matches is none"},
		"an answer":            {`'a'.matches(response.bodyString)`, "line 1:21: matches takes a pattern in quotes, none that is computed"},
		"an answer, dynamic":   {`response.body.a.matches(response.body.b)`, "matches takes a pattern in quotes"},
		"put together":         {`response.bodyString.matches('a' + 'b')`, "matches takes a pattern in quotes"},
		"a variable":           {`['a', 'b'].all(p, response.bodyString.matches(p))`, "matches takes a pattern in quotes"},
		"no string":            {`response.bodyString.matches(1)`, "no matching overload"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compileExpression(tc.expression)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			found := fieldErrors(err)
			require.Len(t, found, 1)
			require.Contains(t, found[0].Problem, tc.want)
		})
	}
}

// A class, and what a server answers to it, cannot keep the controller busy, nor fill
// its memory. Without the bounds these would end the test by its timeout or by the
// memory of the machine.
func TestHostileExpressions(t *testing.T) {
	const body = "response.body"
	ones := "[" + strings.Repeat("1,", 30_000) + "1]"
	// nest puts a value into a list many times, and that list into another, and so on.
	nest := func(value string) string {
		for range 3 {
			value = "[" + value + "].map(a, [" + strings.Repeat("a, ", 50) + "a])[0]"
		}
		return value
	}
	grow := func(value string) string {
		for range 3 {
			value = "[" + value + "].map(a, a" + strings.Repeat(" + a", 50) + ")[0]"
		}
		return value
	}
	// turns asks a thousand times, as long as it is false.
	turns := func(expression string) string {
		const ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
		return ten + ".all(i, " + ten + ".all(j, " + ten + ".all(k, !(" + expression + "))))"
	}
	for name, tc := range map[string]struct{ expression, body string }{
		"lists of lists":        {nest(body) + " == " + nest(body), ones},
		"lists of lists, in":    {nest(body) + " in [" + nest(body) + "]", ones},
		"long lists":            {grow(body) + " == " + grow(body), ones},
		"long lists, in":        {"!(7 in " + grow(body) + ")", ones},
		"long lists, of bodies": {grow("["+body+"]") + " == " + grow("["+body+"]"), ones},
		"maps of lists":         {"[{1: response.body, 2: response.body, 3: response.body}].all(m, [{1: m, 2: m}, {3: m}] == [{1: m, 2: m}, {3: m}])", ones},
		"all, by all":           {"response.body.all(a, response.body.all(b, !(7 in response.body)))", ones},
		"bodies in bodies":      {"response.body.map(a, response.body.map(b, response.body)) == response.body.map(a, response.body.map(b, response.body))", ones},
		"a body for each":       {"response.body.map(a, response.body) == response.body.map(a, response.body)", ones},
		"a short body for each": {"response.body.map(a, response.body).size() > 0", "[" + strings.Repeat("1,", 1200) + "1]"},
		"equal bodies in a row": {strings.Repeat("response.body == response.body && ", 100) + "true", ones},
		"searches in a row":     {strings.Repeat("!(7 in response.body) && ", 100) + "true", ones},
		"equal bodies":          {turns("response.body != response.body"), ones},
		"unequal lists":         {turns("[response.body] != [response.body]"), ones},
		"texts":                 {turns("response.bodyString + response.bodyString + response.bodyString == ''"), ones},
		"a text of texts":       {"[response.bodyString].map(a, a + a + a).map(a, a + a + a).map(a, a + a + a)[0] != ''", ones},
		"conversions":           {turns("double(response.bodyString) == 1.0"), strings.Repeat("1", 60_000)},
		"patterns":              {turns(`response.bodyString.matches('(a{0,6}){0,6}b')`), strings.Repeat("a", 60_000)},
		"patterns in a row":     {strings.Repeat(`!response.bodyString.matches('(a{0,6}){0,6}b') && `, 60) + "true", strings.Repeat("a", 60_000)},
	} {
		t.Run(name, func(t *testing.T) {
			class, err := compileExpression(tc.expression)
			require.NoError(t, err)
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tc.body) })
			target := open(t, server.URL, server)
			target.class = class
			requireKind(t, probe.UnexpectedAnswer, target.Alive(t.Context()))
		})
	}
}
