package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/build/product"
)

// A tree whose sidecar needs one package of a module, and on one architecture
// another one.
func TestLists(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	write("go.mod", "module example.com/main\n\ngo 1.26.0\n\nrequire example.com/lib v1.2.3\n\nreplace example.com/lib v1.2.3 => ./lib\n")
	write("lib/go.mod", "module example.com/lib\n\ngo 1.26.0\n")
	write("lib/a/a.go", "package a\n\nimport _ \"net/http\"\n")
	write("lib/b/b_arm64.go", "package b\n\nimport _ \"os/exec\"\n")
	write("lib/unused/unused.go", "package unused\n")
	for _, name := range product.Names {
		write("cmd/"+name+"/main.go", "package main\n\nimport _ \"example.com/lib/a\"\n\nfunc main() {}\n")
	}
	write("cmd/sidecar/main_arm64.go", "package main\n\nimport _ \"example.com/lib/b\"\n")

	dir := filepath.Join(t.TempDir(), "lists")
	require.NoError(t, run(root, dir))
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name+".txt"))
		require.NoError(t, err)
		return string(content)
	}
	assert.Equal(t, "# What is linked into the sidecar, written by make generate.\n"+
		"example.com/lib v1.2.3 => ./lib\n\texample.com/lib/a\n\texample.com/lib/b\nstd\n\tnet/http\n\tos/exec\n", read("sidecar"))
	assert.Equal(t, "# What is linked into the webhook, written by make generate.\nexample.com/lib v1.2.3 => ./lib\n", read("webhook"))

	write("cmd/controller/main.go", "package main\n\nimport _ \"example.com/missing\"\n")
	require.ErrorContains(t, run(root, dir), "example.com/missing")
}
