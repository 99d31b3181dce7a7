package product

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/build/image"
)

const works = `package main

import "github.com/kube-connector/kube-connector/internal/version"

func main() { println(version.String()) }
`

// tree is a source tree with the product's programs in it, so that this test
// says nothing about the real ones.
func tree(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	write("go.mod", "module "+module+"\n\ngo 1.26.0\n")
	write("VERSION", "v1.2.3\n")
	write("internal/version/version.go", "package version\n\nvar version = \"dev\"\n\nfunc String() string { return version }\n")
	for _, name := range Names {
		write("cmd/"+name+"/main.go", source)
	}
	return root
}

func TestBuild(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	archives, err := Build(t.Context(), tree(t, works), dir, "v1.2.3", io.Discard)
	require.NoError(t, err)
	require.Len(t, archives, len(Names))
	for i, program := range Names {
		tag, err := name.NewTag("kube-connector.invalid/" + program + ":v1.2.3")
		require.NoError(t, err)
		img, err := tarball.ImageFromPath(archives[i], &tag)
		require.NoError(t, err)
		config, err := img.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, runtime.GOARCH, config.Architecture)
		assert.Equal(t, []string{"/" + program}, config.Config.Entrypoint)
		assert.Equal(t, "65532:65532", config.Config.User)
		assert.Equal(t, "v1.2.3", config.Config.Labels["org.opencontainers.image.version"])
		assert.Equal(t, "Apache-2.0", config.Config.Labels["org.opencontainers.image.licenses"])
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, len(Names), "nothing but the archives stays")
}

// The same source gives the same bytes, built in different places, at different
// times, by people with other settings; and they know their version.
func TestMultiArchIsReproducible(t *testing.T) {
	build := func() map[string]string {
		images, err := MultiArch(t.Context(), tree(t, works), "registry.example.com/platform", "v1.2.4", io.Discard)
		require.NoError(t, err)
		digests := map[string]string{}
		for _, img := range images {
			path := filepath.Join(t.TempDir(), "image.tar")
			require.NoError(t, image.WriteArchive(path, img.Tag, img.Index))
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			digests[img.Tag] = fmt.Sprintf("%x", sha256.Sum256(content))
			require.Len(t, img.Contents, len(Architectures))
			for _, arch := range Architectures {
				assert.Contains(t, string(img.Contents[arch]), `"value": "`+arch+`"`)
				digests[img.Tag] += fmt.Sprintf(" %x", sha256.Sum256(img.Contents[arch]))
			}
		}
		return digests
	}
	first := build()
	t.Setenv("GOFLAGS", "-tags=other -gcflags=-N")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOARM64", "v9.0")
	t.Setenv("GOFIPS140", "latest")
	t.Setenv("TZ", "Pacific/Auckland")
	second := build()
	require.Len(t, first, len(Names))
	assert.Equal(t, first, second)
	for tag := range first {
		assert.Regexp(t, `^registry\.example\.com/platform/(webhook|controller|sidecar):v1\.2\.4$`, tag)
	}
}

func TestProgramsKnowTheirVersion(t *testing.T) {
	bin := t.TempDir()
	require.NoError(t, compile(t.Context(), tree(t, works), bin, runtime.GOARCH, "v1.2.4"))
	output, err := exec.Command(filepath.Join(bin, "webhook")).CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "v1.2.4", strings.TrimSpace(string(output)))
}

func TestBuildShowsTheCompilersWords(t *testing.T) {
	_, err := Build(t.Context(), tree(t, "package main\n\nfunc main() { undefined() }\n"), t.TempDir(), "v1.2.3", io.Discard)
	require.ErrorContains(t, err, "undefined: undefined")
}

func TestVersion(t *testing.T) {
	root := tree(t, works)
	version, err := Version(root)
	require.NoError(t, err)
	assert.Equal(t, "v1.2.3", version)
	require.NoError(t, os.Remove(filepath.Join(root, "VERSION")))
	_, err = Version(root)
	require.ErrorContains(t, err, "reading the version")
}
