package image

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// samples are an image for two architectures.
func samples(t *testing.T) []Image {
	t.Helper()
	var images []Image
	for _, arch := range []string{"amd64", "arm64"} {
		img := sample(program(t, "content for "+arch))
		img.Architecture = arch
		img.Labels = map[string]string{"org.opencontainers.image.version": "v1.2.3"}
		images = append(images, img)
	}
	return images
}

func checkIndex(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"org.opencontainers.image.version": "v1.2.3"}, manifest.Annotations)
	require.Len(t, manifest.Manifests, 2)
	for i, arch := range []string{"amd64", "arm64"} {
		assert.Equal(t, "linux/"+arch, manifest.Manifests[i].Platform.String())
		img, err := index.Image(manifest.Manifests[i].Digest)
		require.NoError(t, err)
		config, err := img.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, "linux", config.OS)
		assert.Equal(t, arch, config.Architecture)
		assert.Equal(t, "v1.2.3", config.Config.Labels["org.opencontainers.image.version"])
		assert.Equal(t, "65532:65532", config.Config.User)
	}
}

// unpack makes a directory of a tar.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	require.NoError(t, err)
	defer file.Close()
	dir := t.TempDir()
	for in := tar.NewReader(file); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		path := filepath.Join(dir, header.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
}

func TestWriteArchive(t *testing.T) {
	index, err := MultiArch(samples(t)...)
	require.NoError(t, err)
	for tag, name := range map[string]string{
		"kube-connector/sample:dev":                 "docker.io/kube-connector/sample:dev",
		"registry.example.com/platform/sample:v1.0": "registry.example.com/platform/sample:v1.0",
	} {
		dir := t.TempDir()
		archive := filepath.Join(dir, "image.tar")
		require.NoError(t, WriteArchive(archive, tag, index))
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, left, 1, "nothing but the archive stays")

		written, err := layout.ImageIndexFromPath(unpack(t, archive))
		require.NoError(t, err)
		manifest, err := written.IndexManifest()
		require.NoError(t, err)
		require.Len(t, manifest.Manifests, 1)
		assert.Equal(t, name, manifest.Manifests[0].Annotations["io.containerd.image.name"])
		inner, err := written.ImageIndex(manifest.Manifests[0].Digest)
		require.NoError(t, err)
		checkIndex(t, inner)
	}
}

func TestWriteArchiveReproducible(t *testing.T) {
	write := func(images []Image) string {
		index, err := MultiArch(images...)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "image.tar")
		require.NoError(t, WriteArchive(file, "kube-connector/sample:dev", index))
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	first := write(samples(t))
	assert.Equal(t, first, write(samples(t)), "the same content from other files gives another archive")
	other := samples(t)
	other[1].Labels = map[string]string{"org.opencontainers.image.version": "v1.2.4"}
	assert.NotEqual(t, first, write(other))
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	tag := strings.TrimPrefix(server.URL, "http://") + "/platform/sample:v1.2.3"
	index, err := MultiArch(samples(t)...)
	require.NoError(t, err)
	require.NoError(t, Push(t.Context(), tag, index))
	require.NoError(t, Push(t.Context(), tag, index), "what is there already is fine")

	ref, err := name.NewTag(tag)
	require.NoError(t, err)
	pulled, err := remote.Index(ref)
	require.NoError(t, err)
	checkIndex(t, pulled)
	wanted, err := index.Digest()
	require.NoError(t, err)
	got, err := pulled.Digest()
	require.NoError(t, err)
	assert.Equal(t, wanted, got)

	server.Close()
	require.ErrorContains(t, Push(t.Context(), tag, index), "push "+tag)
	require.ErrorContains(t, Push(t.Context(), "Not A Tag", index), "push: ")
}
