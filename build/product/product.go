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
	"strings"

	"github.com/kube-connector/kube-connector/build/image"
)

// Names are the programs of the product: each is built from cmd/<name> into an
// image of that name with the entrypoint /<name>.
var Names = []string{"webhook", "controller", "sidecar"}

// Tag is the name under which the image of a program is imported, and which
// config/default uses.
func Tag(name string) string { return "kube-connector/" + name + ":dev" }

// Build compiles the product from the source tree at root and writes its
// images into dir, which it makes if needed. It returns the archives, in the
// order of Names. What it does is told on progress, a line at a time.
func Build(ctx context.Context, root, dir string, progress io.Writer) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	bin, err := os.MkdirTemp(dir, ".bin-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }()

	fmt.Fprintf(progress, "building images %s\n", strings.Join(Names, ", "))
	if err := compile(ctx, root, bin); err != nil {
		return nil, err
	}
	var archives []string
	for _, name := range Names {
		archive := filepath.Join(dir, name+".tar")
		err := image.Write(archive, image.Image{
			Tag:        Tag(name),
			Entrypoint: []string{"/" + name},
			Files:      []image.File{{Path: "/" + name, Source: filepath.Join(bin, name)}},
		})
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// compile builds all programs by one call of go, which shares the work of
// loading and of compiling what they have in common.
func compile(ctx context.Context, root, bin string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin + string(filepath.Separator)}
	for _, name := range Names {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", root, err, output.Bytes())
	}
	return nil
}
