// Reference writes docs/reference: what the API types, their constants and the
// programs' flags say about themselves.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const (
	crds  = "config/crd"
	types = "pkg/apis/connectors/v1alpha1"
)

// generated is for people who would edit a page.
const generated = "<!-- Written by make generate from the source. -->\n\n"

func main() {
	dir := flag.String("out", "docs/reference", "where the pages are written")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// run reads the source tree in the working directory.
func run(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, page := range map[string]func() (string, error){
		"api.md":   apiPage,
		"keys.md":  keysPage,
		"flags.md": flagsPage,
	} {
		text, err := page()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(generated+text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func apiPage() (string, error) {
	page := `# API

Group ` + "`connectors.alauda.io`, version `v1alpha1`" + `. Fields are required unless they say that
they are optional. ` + "`kubectl explain connector.spec --recursive`" + ` has the same.

`
	for _, name := range []string{"connectors", "connectorclasses"} {
		text, err := crd(filepath.Join(crds, "connectors.alauda.io_"+name+".yaml"))
		if err != nil {
			return "", err
		}
		page += text
	}
	conditions, err := constants(types, "conditions.go")
	if err != nil {
		return "", err
	}
	return page + "## Conditions and reasons\n\n" + conditions, nil
}

func keysPage() (string, error) {
	keys, err := constants(types, "keys.go")
	return "# Labels, annotations and other keys\n\n" + keys, err
}
