// Dependencies writes what is linked into each program, so that a change of it
// shows in a diff: the modules of all, and the packages of the sidecar, which is
// the one that has tokens, and of which every Pod has a copy.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kube-connector/kube-connector/build/product"
)

// standard stands for the standard library among the modules.
const standard = "std"

func main() {
	dir := flag.String("out", "build/dependencies", "where the lists are written")
	flag.Parse()
	if err := run(".", *dir); err != nil {
		fmt.Fprintln(os.Stderr, "dependencies:", err)
		os.Exit(1)
	}
}

// run reads the source tree at root.
func run(root, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range product.Names {
		linked := packages{}
		for _, arch := range product.Architectures {
			if err := linked.add(root, name, arch); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), linked.list(name, name == "sidecar"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// packages are the names of packages, by their module and its version.
type packages map[string]map[string]bool

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct {
		Path, Version string
		Main          bool
		Replace       *struct{ Path, Version string }
	}
}

// add adds what the program has on an architecture. Of the standard library that
// is what we and our dependencies import; what it imports itself differs from one
// version of Go to the next.
func (p packages) add(root, name, arch string) error {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Module", "./cmd/"+name)
	cmd.Dir = root
	cmd.Env = product.Environment(arch)
	var output, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &problem
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go list in %s: %w\n%s", root, err, problem.Bytes())
	}
	var all []listed
	isStandard := map[string]bool{}
	for in := json.NewDecoder(&output); ; {
		var each listed
		if err := in.Decode(&each); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("go list in %s: %w", root, err)
		}
		all = append(all, each)
		isStandard[each.ImportPath] = each.Standard
	}
	for _, each := range all {
		if each.Standard {
			continue
		}
		if m := each.Module; m != nil && !m.Main {
			version := m.Path + " " + m.Version
			if m.Replace != nil {
				version += " => " + strings.TrimSpace(m.Replace.Path+" "+m.Replace.Version)
			}
			p.put(version, each.ImportPath)
		}
		for _, imported := range each.Imports {
			if isStandard[imported] {
				p.put(standard, imported)
			}
		}
	}
	return nil
}

func (p packages) put(module, name string) {
	if p[module] == nil {
		p[module] = map[string]bool{}
	}
	p[module][name] = true
}

// list is the text of a list.
func (p packages) list(name string, withPackages bool) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# What is linked into the %s, written by make generate.\n", name)
	for _, module := range slices.Sorted(maps.Keys(p)) {
		if module == standard && !withPackages {
			continue
		}
		fmt.Fprintln(&out, module)
		if withPackages {
			for _, each := range slices.Sorted(maps.Keys(p[module])) {
				fmt.Fprintln(&out, "\t"+each)
			}
		}
	}
	return out.Bytes()
}
