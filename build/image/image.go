// Package image makes container images from static binaries, without Docker:
// one layer, one config. Write makes a docker-archive tar for a machine of this
// architecture, that `ctr -n k8s.io images import` and `docker load` take;
// MultiArch an index of OCI images for several, that WriteArchive writes and
// Push pushes.
//
// The same input gives the same bytes: no clock, no user, no order of a
// directory listing finds its way into an image.
package image

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// DefaultUser is who an image runs as unless it says otherwise: the "nonroot"
// user that distroless images made customary. It is numeric, since
// runAsNonRoot cannot check a name.
const DefaultUser = "65532:65532"

// Image says what goes into an image. All paths in it are absolute.
type Image struct {
	// Tag is the name under which the image is imported, with its tag:
	// "kube-connector/webhook:dev".
	Tag string
	// Entrypoint is what runs when a container gives no command.
	Entrypoint []string
	// Cmd is given to the entrypoint when a container gives no arguments.
	Cmd []string
	// Architecture in the words of Go; empty means this machine's.
	Architecture string
	// Labels are what `docker inspect` shows.
	Labels map[string]string
	// User runs the entrypoint; empty means DefaultUser.
	User string
	// Env is the environment, KEY=value; empty means none, not even a PATH.
	Env []string
	// Files, Links and Dirs are the image's content. Directories above them
	// are made as needed.
	Files []File
	Links []Link
	Dirs  []Dir
}

// File is an executable that is copied into the image with mode 0755.
type File struct {
	// Path is where it stands in the image.
	Path string
	// Source is the file on this machine.
	Source string
}

// Link is a symbolic link.
type Link struct {
	// Path is where the link stands, Target what it says.
	Path, Target string
}

// Dir is a directory that must exist with this mode, such as /tmp with 01777.
type Dir struct {
	// Path is the directory.
	Path string
	// Mode is its mode in the notation of chmod: 0o755, 0o1777.
	Mode int64
}

// Write makes the image and writes it to path. The file appears whole or not
// at all: who finds it can import it.
func Write(path string, img Image) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("image %s: %w", img.Tag, err)
		}
	}()
	tag, err := name.NewTag(img.Tag)
	if err != nil {
		return fmt.Errorf("tag: %w", err)
	}
	built, err := build(img)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already if the rename below succeeded
	if err := tarball.Write(tag, built, tmp); err != nil {
		return errors.Join(fmt.Errorf("write archive: %w", err), tmp.Close())
	}
	if err := tmp.Chmod(0o644); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// build makes the image that Write writes.
func build(img Image) (v1.Image, error) {
	content, err := layer(img)
	if err != nil {
		return nil, err
	}
	// Not compressed: these archives go to a containerd on the same machine,
	// and deflating a binary takes longer than writing it.
	return assemble(img, empty.Image, static.NewLayer(content, types.DockerUncompressedLayer))
}

// assemble puts a layer and what img says of it on top of base, which is empty.
func assemble(img Image, base v1.Image, content v1.Layer) (v1.Image, error) {
	if len(img.Entrypoint) > 0 && !strings.HasPrefix(img.Entrypoint[0], "/") {
		return nil, fmt.Errorf("entrypoint %q is not an absolute path; without a PATH nothing else can be found", img.Entrypoint[0])
	}
	built, err := mutate.AppendLayers(base, content)
	if err != nil {
		return nil, fmt.Errorf("append layer: %w", err)
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	config = config.DeepCopy()
	config.OS = "linux"
	config.Architecture = cmp.Or(img.Architecture, runtime.GOARCH)
	config.Config = v1.Config{
		Entrypoint: img.Entrypoint,
		Cmd:        img.Cmd,
		Env:        img.Env,
		User:       cmp.Or(img.User, DefaultUser),
		WorkingDir: "/",
		Labels:     img.Labels,
	}
	return mutate.ConfigFile(built, config)
}
