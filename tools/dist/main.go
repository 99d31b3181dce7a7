// Dist writes what people install from config/, the one source: dist/install.yaml
// and the Helm chart; or the chart's archive.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const chartName = "kube-connector"

func main() {
	root := flag.String("root", ".", "the source tree")
	out := flag.String("out", "dist", "the `directory` to write install.yaml and chart/ to")
	archive := flag.String("package", "", "write the chart's archive to this `file`, and nothing else")
	flag.Parse()
	if err := run(*root, *out, *archive); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(root, out, archive string) error {
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return err
	}
	objects, err := render(filepath.Join(root, "config", "default"))
	if err != nil {
		return err
	}
	chart, err := makeChart(objects, strings.TrimSpace(string(version)))
	if err != nil {
		return err
	}
	if archive != "" {
		return writeArchive(archive, chart)
	}
	manifest, err := objects.AsYaml()
	if err != nil {
		return err
	}
	// Whole or not: a file of an earlier chart would be installed with this one.
	if err := os.RemoveAll(filepath.Join(out, "chart", chartName)); err != nil {
		return err
	}
	files := map[string][]byte{"install.yaml": append([]byte(header), manifest...)}
	for name, content := range chart {
		files[filepath.Join("chart", chartName, name)] = content
	}
	for name, content := range files {
		path := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

const header = "# Kubernetes Connector: kubectl apply -f install.yaml\n# Generated from config/default by make generate.\n"

// render is `kubectl kustomize`, in the order in which `kubectl apply` wants it.
func render(dir string) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", dir, err)
	}
	return objects, nil
}

// replaceOnce replaces a marker that must be there exactly once.
func replaceOnce(text []byte, marker, by string) ([]byte, error) {
	if n := bytes.Count(text, []byte(marker)); n != 1 {
		return nil, fmt.Errorf("the marker %s is there %d times instead of once", marker, n)
	}
	return bytes.Replace(text, []byte(marker), []byte(by), 1), nil
}
