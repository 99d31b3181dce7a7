// Images builds the product's container images from this source tree, for every
// architecture, and writes them to a directory or pushes them to a registry. What
// each program consists of is written beside them, as a software bill of materials.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kube-connector/kube-connector/build/image"
	"github.com/kube-connector/kube-connector/build/product"
)

func main() {
	dir := flag.String("out", "bin/images", "the `directory` that the image archives are written to")
	repository := flag.String("repository", product.DefaultRepository, "what the names of the images begin with, such as registry.example.com/platform")
	version := flag.String("version", "", "the version that the programs say they are (default: the file VERSION)")
	push := flag.Bool("push", false, "push the images instead of writing them")
	flag.Parse()
	if err := run(*dir, *repository, *version, *push); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run builds from the working directory: `go run ./build/images` only works in
// the source tree anyway.
func run(dir, repository, version string, push bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if version == "" {
		var err error
		if version, err = product.Version("."); err != nil {
			return err
		}
	}
	images, err := product.MultiArch(ctx, ".", repository, version, os.Stderr)
	if err != nil {
		return err
	}
	if err := writeContents(dir, images); err != nil {
		return err
	}
	if push {
		for _, img := range images {
			if err := image.Push(ctx, img.Tag, img.Index); err != nil {
				return err
			}
			fmt.Println(img.Tag)
		}
		return nil
	}
	for _, img := range images {
		archive := filepath.Join(dir, img.Name+".tar")
		if err := image.WriteArchive(archive, img.Tag, img.Index); err != nil {
			return err
		}
		fmt.Println(archive)
	}
	return nil
}

// writeContents writes what each image consists of beside the archives.
func writeContents(dir string, images []product.Image) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, img := range images {
		for arch, content := range img.Contents {
			if err := os.WriteFile(filepath.Join(dir, img.Name+"."+arch+".cdx.json"), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
