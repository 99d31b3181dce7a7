package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/docs"
)

// TestSamples: what docs/ci.md shows stands in config/samples/ci, which test/e2e
// runs, word for word.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/ci/*")
	require.NoError(t, err)
	var samples []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			samples = append(samples, withoutComments(document))
		}
	}
	all, err := docs.Find(os.DirFS("../.."))
	require.NoError(t, err)
	i := slices.IndexFunc(all, func(d *docs.Document) bool { return d.Path == "docs/ci.md" })
	require.GreaterOrEqual(t, i, 0, "docs/ci.md is missing")
	shown := 0
	for _, block := range all[i].Blocks {
		if block.Language == "yaml" || block.Language == "toml" {
			shown++
			assert.Contains(t, samples, withoutComments(block.Text), "docs/ci.md:%d", block.Line)
		}
	}
	assert.Positive(t, shown)
}

// withoutComments leaves out lines that are comments, and blanks at the end.
func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") || strings.HasPrefix(strings.TrimSpace(line), "#!") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}
