package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func program(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

func sample(source string) Image {
	return Image{
		Tag:        "kube-connector/sample:dev",
		Entrypoint: []string{"/bin/sample"},
		Cmd:        []string{"serve"},
		Env:        []string{"PATH=/bin"},
		Files:      []File{{Path: "/bin/sample", Source: source}, {Path: "/bin/another", Source: source}},
		Links:      []Link{{Path: "/bin/sh", Target: "sample"}},
		Dirs:       []Dir{{Path: "/tmp", Mode: 0o1777}},
	}
}

func open(t *testing.T, file string) v1.Image {
	t.Helper()
	tag, err := name.NewTag("kube-connector/sample:dev")
	require.NoError(t, err)
	img, err := tarball.ImageFromPath(file, &tag)
	require.NoError(t, err, "the tag must be kept in the archive")
	return img
}

func TestWriteLayer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, Write(file, sample(program(t, "content"))))

	layers, err := open(t, file).Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	content, err := layers[0].Uncompressed()
	require.NoError(t, err)
	defer func() { _ = content.Close() }()

	type seen struct {
		Name, Link, Content string
		Kind                byte
		Mode                int64
	}
	var got []seen
	for in := tar.NewReader(content); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		body, err := io.ReadAll(in)
		require.NoError(t, err)
		got = append(got, seen{header.Name, header.Linkname, string(body), header.Typeflag, header.Mode})
		assert.True(t, header.ModTime.Equal(time.Unix(0, 0)), header.Name)
		assert.Zero(t, header.Uid, header.Name)
		assert.Zero(t, header.Gid, header.Name)
		assert.Equal(t, "root", header.Uname, header.Name)
		assert.Equal(t, "root", header.Gname, header.Name)
	}
	assert.Equal(t, []seen{
		{Name: "bin/", Kind: tar.TypeDir, Mode: 0o755},
		{Name: "bin/another", Content: "content", Kind: tar.TypeReg, Mode: 0o755},
		{Name: "bin/sample", Content: "content", Kind: tar.TypeReg, Mode: 0o755},
		{Name: "bin/sh", Link: "sample", Kind: tar.TypeSymlink, Mode: 0o777},
		{Name: "tmp/", Kind: tar.TypeDir, Mode: 0o1777},
	}, got)
}

func TestWriteConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	img := sample(program(t, "content"))
	require.NoError(t, Write(file, img))
	config, err := open(t, file).ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, v1.Config{
		Entrypoint: []string{"/bin/sample"},
		Cmd:        []string{"serve"},
		Env:        []string{"PATH=/bin"},
		User:       "65532:65532",
		WorkingDir: "/",
	}, config.Config)
	assert.Equal(t, "linux", config.OS)
	assert.NotEmpty(t, config.Architecture)
	assert.Len(t, config.RootFS.DiffIDs, 1)

	img.User = "0:0"
	require.NoError(t, Write(file, img), "an existing archive is replaced")
	config, err = open(t, file).ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, "0:0", config.Config.User)
}

func TestWriteReproducible(t *testing.T) {
	write := func(img Image) []byte {
		file := filepath.Join(t.TempDir(), "image.tar")
		require.NoError(t, Write(file, img))
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return content
	}
	first := sample(program(t, "content"))
	// The same content from another file with another age and mode, in
	// another order.
	other := program(t, "content")
	require.NoError(t, os.Chmod(other, 0o711))
	require.NoError(t, os.Chtimes(other, time.Time{}, time.Unix(1e9, 0)))
	second := sample(other)
	second.Files[0], second.Files[1] = second.Files[1], second.Files[0]

	assert.Equal(t, write(first), write(second))
	assert.NotEqual(t, write(first), write(sample(program(t, "other content"))))
}

func TestWriteRefuses(t *testing.T) {
	source := program(t, "content")
	for name, test := range map[string]struct {
		change func(*Image)
		want   string
	}{
		"no tag":                {func(i *Image) { i.Tag = "" }, "tag"},
		"relative entrypoint":   {func(i *Image) { i.Entrypoint = []string{"sample"} }, "not an absolute path"},
		"relative path":         {func(i *Image) { i.Files[0].Path = "bin/sample" }, "must be absolute"},
		"unclean path":          {func(i *Image) { i.Files[0].Path = "/bin/../sample" }, "must be absolute, clean"},
		"path twice":            {func(i *Image) { i.Files[0].Path = "/bin/another" }, "twice"},
		"file below a file":     {func(i *Image) { i.Files[0].Path = "/bin/another/sample" }, "not a directory"},
		"file that is not here": {func(i *Image) { i.Files[0].Source += "-missing" }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			img := sample(source)
			test.change(&img)
			dir := t.TempDir()
			err := Write(filepath.Join(dir, "image.tar"), img)
			require.ErrorContains(t, err, test.want)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "a failed write leaves nothing")
		})
	}
}
