package docs_test

import (
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/kube-connector/kube-connector/test/docs"
)

// markdown stands for ``` by ”', which a Go string can hold.
func markdown(lines ...string) string {
	return strings.ReplaceAll(strings.Join(lines, "\n")+"\n", "'''", "```")
}

func TestParse(t *testing.T) {
	document, err := docs.Parse("docs/a.md", []byte(markdown(
		"# Use `it`, now",
		"<!-- starts after: start.md#first -->",
		"See [there](b.md#c) and",
		"[here](#d).",
		"'''sh",
		"echo one",
		"",
		"echo two",
		"'''",
		"## Use it now",
		"- item",
		"",
		"  '''sh not-run: needs a registry",
		"  make push",
		"  '''",
		"'''yaml file=job.yaml",
		"kind: Job",
		"'''",
		"'''console",
		"'''",
		"> | a | b |",
		"> |---|---|",
		"> | [in a table](e.md) | |",
	)))
	require.NoError(t, err)
	assert.Equal(t, &docs.Document{
		Path:    "docs/a.md",
		Anchors: []string{"use-it-now", "use-it-now-1"},
		After:   docs.Link{Line: 2, Destination: "start.md#first"},
		Links: []docs.Link{
			{Line: 3, Destination: "b.md#c"}, {Line: 3, Destination: "#d"}, {Line: 23, Destination: "e.md"},
		},
		Blocks: []docs.Block{
			{Line: 6, Section: "use-it-now", Language: "sh", Text: "echo one\n\necho two\n"},
			{Line: 14, Section: "use-it-now-1", Language: "sh", NotRun: "needs a registry", Text: "make push\n"},
			{Line: 17, Section: "use-it-now-1", Language: "yaml", File: "job.yaml", Text: "kind: Job\n"},
			{Line: 17, Section: "use-it-now-1", Language: "console"},
		},
	}, document)
}

func TestParseRefuses(t *testing.T) {
	for tag, want := range map[string]string{
		"":                     `a.md:2: a block is tagged ""; use one of sh, yaml`,
		"bash":                 `a.md:2: a block is tagged "bash"; use one of sh, yaml`,
		"sh later":             `say sh not-run: and the reason`,
		"sh not-run:":          `say sh not-run: and the reason`,
		"yaml file=../a.yaml":  `say yaml file=NAME.yaml, without a directory`,
		"yaml name=a.yaml":     `say yaml file=NAME.yaml, without a directory`,
		"console not-run: why": `"not-run: why" after console means nothing; remove it`,
	} {
		t.Run(tag, func(t *testing.T) {
			_, err := docs.Parse("a.md", []byte(markdown("'''"+tag, "echo", "'''")))
			assert.ErrorContains(t, err, want)
		})
	}
}

func parse(t *testing.T, name string, lines ...string) *docs.Document {
	t.Helper()
	document, err := docs.Parse(name, []byte(markdown(lines...)))
	require.NoError(t, err)
	return document
}

// TestScript runs what a script of two documents says.
func TestScript(t *testing.T) {
	first := parse(t, "docs/first.md",
		"## One", "'''sh", "export A=one", "'''",
		"'''sh not-run: it is not", "exit 1", "'''",
		"## Two", "'''sh", "exit 1", "'''")
	second := parse(t, "docs/second.md",
		"<!-- starts after: first.md#one -->",
		"'''yaml file=a.yaml", "kind: $A", "'''",
		"'''sh", "cat a.yaml; echo $A", "'''",
		"'''console", "exit 1", "'''")
	script, err := docs.Script(second, []*docs.Document{first, second})
	require.NoError(t, err)
	run := exec.Command("bash", "-c", script)
	run.Dir = t.TempDir()
	output, err := run.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Equal(t, "### docs/first.md:3\n### docs/second.md:6\nkind: $A\none\n"+docs.End+"\n", string(output))
}

// TestScriptStops: a command that fails anywhere fails the document, and is
// named.
func TestScriptStops(t *testing.T) {
	for command, failed := range map[string]string{
		"false\ntrue":       "false",
		"false | true":      "failed",
		"f() { false; }; f": "false",
		"echo $unset":       "unset",
	} {
		t.Run(command, func(t *testing.T) {
			document := parse(t, "a.md", "'''sh", command, "'''")
			script, err := docs.Script(document, nil)
			require.NoError(t, err)
			output, err := exec.Command("bash", "-c", script).CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(output), failed)
			assert.NotContains(t, string(output), docs.End)
		})
	}
}

func TestScriptOfNothing(t *testing.T) {
	script, err := docs.Script(parse(t, "a.md", "'''sh not-run: it is the test itself", "make test", "'''"), nil)
	require.NoError(t, err)
	assert.Empty(t, script)
}

func TestScriptRefuses(t *testing.T) {
	first := parse(t, "first.md", "## One", "'''sh", "true", "'''")
	after := parse(t, "after.md", "<!-- starts after: first.md#one -->", "## One", "'''sh", "true", "'''")
	for destination, want := range map[string]string{
		"none.md#one":   "there is no such document",
		"first.md#none": "no section of that name has a block",
		"after.md#one":  "starts after another one itself",
	} {
		t.Run(destination, func(t *testing.T) {
			document := parse(t, "a.md", "<!-- starts after: "+destination+" -->", "'''sh", "true", "'''")
			_, err := docs.Script(document, []*docs.Document{first, after, document})
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestCheckLinks(t *testing.T) {
	root := fstest.MapFS{"docs/a.md": {}, "docs/b.md": {}, "config/default/kustomization.yaml": {}}
	b := parse(t, "docs/b.md", "## Use it")
	for destination, want := range map[string]string{
		"b.md":                     "",
		"b.md#use-it":              "",
		"#top":                     "",
		"../config/default":        "",
		"https://example.com/#a":   "",
		"c.md":                     "docs/a.md:2: the link to c.md: open docs/c.md",
		"b.md#none":                "docs/b.md has no heading with the anchor #none",
		"#none":                    "docs/a.md has no heading with the anchor #none",
		"../config/default#none":   "has no heading",
		"../../../../etc/hostname": "file does not exist",
	} {
		t.Run(destination, func(t *testing.T) {
			a := parse(t, "docs/a.md", "# Top", "[x]("+destination+")")
			err := docs.CheckLinks(root, []*docs.Document{a, b})
			if want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestManifests(t *testing.T) {
	document := parse(t, "a.md",
		"'''yaml", "apiVersion: v1", "kind: Secret", "---", "# nothing", "---", "metadata: {name: part}", "'''",
		"'''yaml file=b.yaml", "apiVersion: tekton.dev/v1", "kind: Task", "'''",
		"'''json", "{}", "'''")
	manifests, err := docs.Manifests(document, clientgoscheme.Scheme)
	require.NoError(t, err)
	require.Len(t, manifests, 2)
	assert.Equal(t, 2, manifests[0].Line)
	assert.Contains(t, manifests[0].Text, "kind: Secret")
	assert.Equal(t, 10, manifests[1].Line)
}

func TestManifestsRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no YAML":       {"a: [", "did not find expected node content"},
		"a key twice":   {"a: 1\na: 2", `key "a" already set`},
		"unknown field": {"apiVersion: v1\nkind: Secret\nstringdata: {}", `unknown field "stringdata"`},
		"wrong type":    {"apiVersion: v1\nkind: Secret\nstringData: {a: 1}", "cannot unmarshal number"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := docs.Manifests(parse(t, "a.md", "'''yaml", test.text, "'''"), clientgoscheme.Scheme)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "a.md:2: ")
		})
	}
}
