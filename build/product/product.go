// Package product builds the images that Kubernetes Connector consists of.
package product

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kube-connector/kube-connector/build/image"
	"github.com/kube-connector/kube-connector/build/sbom"
)

// DefaultRepository is what the images' names begin with, unless somebody pushes
// them to a registry. No such host can exist (RFC 6761, 6.4): a node that was not
// given the images finds none, and not those of a stranger.
const DefaultRepository = "kube-connector.invalid"

const module = "github.com/kube-connector/kube-connector"

// Names are the programs of the product: each is built from cmd/<name> into an
// image of that name with the entrypoint /<name>.
var Names = []string{"webhook", "controller", "sidecar"}

// Architectures are those that the multi-arch images are for.
var Architectures = []string{"amd64", "arm64"}

// Tag is the full name of a program's image.
func Tag(repository, name, version string) string {
	return repository + "/" + name + ":" + version
}

// Version is what the source tree at root says that it is.
func Version(root string) (string, error) {
	content, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("reading the version: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// Build compiles the product from the source tree at root for this machine and
// writes its images into dir, which it makes if needed: docker-archives, in
// DefaultRepository. It returns the archives, in the order of Names. What it does
// is told on progress, a line at a time.
func Build(ctx context.Context, root, dir, version string, progress io.Writer) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	bin, err := os.MkdirTemp(dir, ".bin-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }()

	fmt.Fprintf(progress, "building images %s\n", strings.Join(Names, ", "))
	if err := compile(ctx, root, bin, runtime.GOARCH, version); err != nil {
		return nil, err
	}
	var archives []string
	for _, name := range Names {
		archive := filepath.Join(dir, name+".tar")
		if err := image.Write(archive, describe(name, bin, runtime.GOARCH, DefaultRepository, version)); err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// Image is one program's image for all Architectures.
type Image struct {
	// Name is the program's, Tag the image's.
	Name, Tag string
	// Index is what it consists of.
	Index v1.ImageIndex
	// Contents are what the program consists of, by architecture: a software bill
	// of materials in CycloneDX.
	Contents map[string][]byte
}

// MultiArch compiles the product for all Architectures and returns its images,
// in the order of Names. What it does is told on progress, a line at a time.
func MultiArch(ctx context.Context, root, repository, version string, progress io.Writer) ([]Image, error) {
	bin, err := os.MkdirTemp("", "kube-connector-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	for _, arch := range Architectures {
		fmt.Fprintf(progress, "building %s for %s\n", strings.Join(Names, ", "), arch)
		if err := compile(ctx, root, filepath.Join(bin, arch), arch, version); err != nil {
			return nil, err
		}
	}
	var images []Image
	for _, name := range Names {
		var each []image.Image
		contents := map[string][]byte{}
		for _, arch := range Architectures {
			img := describe(name, filepath.Join(bin, arch), arch, repository, version)
			each = append(each, img)
			var err error
			contents[arch], err = sbom.Write(sbom.Program{
				Path: img.Files[0].Source, Name: img.Labels["org.opencontainers.image.title"],
				Version: version, License: img.Labels["org.opencontainers.image.licenses"],
			})
			if err != nil {
				return nil, err
			}
		}
		index, err := image.MultiArch(each...)
		if err != nil {
			return nil, err
		}
		images = append(images, Image{Name: name, Tag: Tag(repository, name, version), Index: index, Contents: contents})
	}
	return images, nil
}

// describe says what is in the image of a program.
func describe(name, bin, arch, repository, version string) image.Image {
	return image.Image{
		Tag:          Tag(repository, name, version),
		Architecture: arch,
		Entrypoint:   []string{"/" + name},
		Files:        []image.File{{Path: "/" + name, Source: filepath.Join(bin, name)}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Kubernetes Connector " + name,
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.source":   "https://" + module,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
}

// Environment is that of the go command for an architecture: this process's,
// without what would change the programs, so that they are the same from whoever
// builds them.
func Environment(arch string) []string {
	return append(os.Environ(),
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
}

// compile builds all programs by one call of go, which shares the work of
// loading and of compiling what they have in common.
func compile(ctx context.Context, root, bin, arch, version string) error {
	args := []string{
		"build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X " + module + "/internal/version.version=" + version,
		"-o", bin + string(filepath.Separator),
	}
	for _, name := range Names {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = Environment(arch)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", root, err, output.Bytes())
	}
	return nil
}
