package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kube-connector/kube-connector/build/image"
)

// ToolboxImage has busybox and kubectl, for the Pods of tests and of the demo.
const ToolboxImage = "kube-connector/toolbox:dev"

// LoadImage imports an image archive into the home node and returns when Pods
// can use it.
func (c *Cluster) LoadImage(ctx context.Context, tar string) error {
	return loadImage(ctx, c.instance, filepath.Dir(c.Kubectl), tar)
}

func loadImage(ctx context.Context, i instance, binaries, tar string) error {
	tar, err := filepath.Abs(tar)
	if err != nil {
		return err
	}
	if _, err := os.Stat(tar); err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	output, err := ctr(ctx, i, "images", "import", tar)
	if err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	names := imported(output)
	if len(names) == 0 {
		return fmt.Errorf("load image: %s has no image with a name in it: %s", tar, strings.TrimSpace(output))
	}
	// containerd's Kubernetes side learns of a new image by an event, in
	// milliseconds or, on a busy disk, in seconds. A Pod that is faster tries to
	// pull the image from a registry that isn't there.
	return poll(ctx, readyTimeout, func(ctx context.Context) error {
		known, err := exec.CommandContext(ctx, filepath.Join(binaries, "cri-images"), socket(i)).Output()
		if err != nil {
			return fmt.Errorf("list images: %w", err)
		}
		for _, name := range names {
			if !slices.Contains(strings.Fields(string(known)), name) {
				return fmt.Errorf("containerd does not offer the image %s to the kubelet", name)
			}
		}
		return nil
	})
}

// imported reads the names of images from what `ctr images import` prints:
// "unpacking NAME (DIGEST)...done".
func imported(output string) []string {
	var names []string
	for line := range strings.Lines(output) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "unpacking" {
			names = append(names, fields[1])
		}
	}
	return names
}

// ctr runs containerd's command line client on the instance's containerd.
func ctr(ctx context.Context, i instance, args ...string) (string, error) {
	return tool(ctx, "ctr", append([]string{"--address", socket(i), "--namespace", "k8s.io"}, args...)...)
}

// BuildImage makes an image and imports it into the home node.
func (c *Cluster) BuildImage(ctx context.Context, img image.Image) error {
	return buildImage(ctx, c.instance, filepath.Dir(c.Kubectl), img)
}

// Toolbox is ToolboxImage, for who needs it under another name.
func (c *Cluster) Toolbox(ctx context.Context) (image.Image, error) {
	return toolboxImage(ctx, filepath.Dir(c.Kubectl))
}

func buildImage(ctx context.Context, i instance, binaries string, img image.Image) error {
	dir, err := os.MkdirTemp(i.dataDir(), "images-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tar := filepath.Join(dir, "image.tar")
	if err := image.Write(tar, img); err != nil {
		return err
	}
	return loadImage(ctx, i, binaries, tar)
}

// loadOwnImages makes and loads the images that are this package's own.
func loadOwnImages(ctx context.Context, i instance, binaries string) error {
	toolbox, err := toolboxImage(ctx, binaries)
	if err != nil {
		return err
	}
	for _, img := range []image.Image{
		{
			Tag:        pauseImage,
			Entrypoint: []string{"/pause"},
			User:       "65535:65535",
			Files:      []image.File{{Path: "/pause", Source: filepath.Join(binaries, "pause")}},
		},
		toolbox,
	} {
		if err := buildImage(ctx, i, binaries, img); err != nil {
			return err
		}
	}
	return nil
}

func toolboxImage(ctx context.Context, binaries string) (image.Image, error) {
	busybox, err := lookTool("busybox")
	if err != nil {
		return image.Image{}, err
	}
	img := image.Image{
		Tag: ToolboxImage,
		Cmd: []string{"/bin/sh"},
		// kubectl caches below HOME.
		Env: []string{"PATH=/bin", "HOME=/tmp"},
		Files: []image.File{
			{Path: "/bin/busybox", Source: busybox},
			{Path: "/bin/kubectl", Source: filepath.Join(binaries, "kubectl")},
		},
		Dirs: []image.Dir{{Path: "/tmp", Mode: 0o1777}},
	}
	applets, err := tool(ctx, "busybox", "--list")
	if err != nil {
		return image.Image{}, err
	}
	for _, applet := range strings.Fields(applets) {
		if applet != "busybox" {
			img.Links = append(img.Links, image.Link{Path: path.Join("/bin", applet), Target: "busybox"})
		}
	}
	return img, nil
}
