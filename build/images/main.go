// Images builds the product's container images from this source tree.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kube-connector/kube-connector/build/product"
)

func main() {
	dir := flag.String("out", "bin/images", "where the image archives are written")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run builds from the working directory: `go run ./build/images` only works in
// the source tree anyway.
func run(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	archives, err := product.Build(ctx, ".", dir, os.Stderr)
	if err != nil {
		return err
	}
	for _, archive := range archives {
		fmt.Println(archive)
	}
	return nil
}
