package attacks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocumented: docs/security.md has all attacks, with what comes of them.
func TestDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../docs/security.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(content), "\n## The attacks that are tested\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "|") {
			lines = append(lines, line)
		}
	}
	assert.Equal(t, table(), strings.Join(lines, ""), "make the table of docs/security.md say this")
}

// table is in the order of the files. That in which they are declared is up to what
// they refer to.
func table() string {
	byName := slices.SortedFunc(slices.Values(attacks), func(a, b attack) int { return strings.Compare(a.name, b.name) })
	var b strings.Builder
	fmt.Fprint(&b, "| Who | What he tries | Outcome | |\n|---|---|---|---|\n")
	for i, a := range byName {
		actor := a.actor
		if i > 0 && byName[i-1].actor == actor {
			actor = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", actor, a.tries, a.outcome, a.what)
	}
	return b.String()
}

// TestEachHasAFile: one file an attack, by its name, and all that a person reads of it.
func TestEachHasAFile(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		assert.FileExists(t, a.name+"_test.go")
		assert.NotEmpty(t, a.tries, a.name)
		assert.NotEmpty(t, a.what, a.name)
		assert.NotEmpty(t, a.outcome, a.name)
	}
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	const others = 4 // attack_test.go, docs_test.go, person_test.go, scene_test.go
	assert.Len(t, files, len(attacks)+others)
}
