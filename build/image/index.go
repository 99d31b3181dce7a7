package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// MultiArch makes one image for several architectures. Its Tag and Labels are
// those of the first, which become annotations of the index as well; a registry
// shows them without fetching anything else.
func MultiArch(images ...Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		built, err := buildOCI(img)
		if err != nil {
			return nil, fmt.Errorf("image %s for %s: %w", img.Tag, img.Architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: built, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: img.Architecture},
		}})
	}
	annotated, ok := mutate.Annotations(index, images[0].Labels).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("annotating an index gave something else")
	}
	return annotated, nil
}

func buildOCI(img Image) (v1.Image, error) {
	content, err := layer(img)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	compressed, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compress layer: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return assemble(img, base, compressed)
}

// Push pushes an index under a tag, with the credentials that `docker login`
// left.
func Push(ctx context.Context, tag string, index v1.ImageIndex) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if err := remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", tag, err)
	}
	return nil
}

// WriteArchive writes an index as a tar of an OCI layout that containerd imports
// under tag. The file appears whole or not at all.
func WriteArchive(path, tag string, index v1.ImageIndex) error {
	if err := writeArchive(path, tag, index); err != nil {
		return fmt.Errorf("image %s: %w", tag, err)
	}
	return nil
}

func writeArchive(path, tag string, index v1.ImageIndex) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("tag: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	content := filepath.Join(dir, "layout")
	target, err := layout.Write(content, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	if err := target.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          nameInContainerd(ref),
		"org.opencontainers.image.ref.name": ref.TagStr(),
	})); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	archive := filepath.Join(dir, "archive")
	if err := writeTar(archive, content); err != nil {
		return err
	}
	return os.Rename(archive, path)
}

// nameInContainerd is how containerd and the kubelet spell a name that begins
// with no registry.
func nameInContainerd(ref name.Tag) string {
	if ref.RegistryStr() == name.DefaultRegistry {
		return "docker.io/" + ref.RepositoryStr() + ":" + ref.TagStr()
	}
	return ref.Name()
}

// writeTar writes the files below dir, in the order of their names.
func writeTar(path, dir string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := tar.NewWriter(file)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: filepath.ToSlash(relative), Size: int64(len(content)),
			Mode: 0o644, ModTime: epoch, Format: tar.FormatUSTAR,
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	})
	return errors.Join(err, out.Close())
}
