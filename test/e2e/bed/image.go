package bed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/kube-connector/kube-connector/build/image"
)

// BuildImage makes the toolbox, under a name of its own, with the program of a
// package in it. The program has the name of the package's directory.
func BuildImage(ctx context.Context, tag, dir string) error {
	to, err := os.MkdirTemp("", "kube-connector-e2e-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(to) }()
	program := filepath.Join(to, "program")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, dir)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", dir, err, output)
	}
	toolbox, err := Clusters.Toolbox(ctx)
	if err != nil {
		return err
	}
	toolbox.Tag = tag
	toolbox.Files = append(toolbox.Files, image.File{Path: path.Join("/bin", filepath.Base(dir)), Source: program})
	return Clusters.BuildImage(ctx, toolbox)
}
