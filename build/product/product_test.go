package product

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree is a source tree with the product's programs in it, so that this test
// says nothing about the real ones.
func tree(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module example.com/product\n\ngo 1.26.0\n"), 0o644))
	for _, name := range Names {
		dir := filepath.Join(root, "cmd", name)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644))
	}
	return root
}

func TestBuild(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	archives, err := Build(t.Context(), tree(t, "package main\n\nfunc main() {}\n"), dir, io.Discard)
	require.NoError(t, err)
	require.Len(t, archives, len(Names))
	for i, program := range Names {
		tag, err := name.NewTag("kube-connector/" + program + ":dev")
		require.NoError(t, err)
		img, err := tarball.ImageFromPath(archives[i], &tag)
		require.NoError(t, err)
		config, err := img.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, []string{"/" + program}, config.Config.Entrypoint)
		assert.Equal(t, "65532:65532", config.Config.User)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, len(Names), "nothing but the archives stays")
}

func TestBuildShowsTheCompilersWords(t *testing.T) {
	_, err := Build(t.Context(), tree(t, "package main\n\nfunc main() { undefined() }\n"), t.TempDir(), io.Discard)
	require.ErrorContains(t, err, "undefined: undefined")
}
