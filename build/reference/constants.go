package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	gotypes "go/types"
	"path/filepath"
	"regexp"
	"strings"
)

// constants writes a table of each group of constants in a file of a package:
// the values and what their comments say. Where a comment names a constant, the
// page has its value, because readers don't know the names.
func constants(dir, file string) (string, error) {
	files := token.NewFileSet()
	var parsed []*ast.File
	var wanted *ast.File
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			return "", err
		}
		parsed = append(parsed, f)
		if filepath.Base(name) == file {
			wanted = f
		}
	}
	if wanted == nil {
		return "", fmt.Errorf("there is no %s in %s", file, dir)
	}
	values := evaluate(files, parsed)
	b := &strings.Builder{}
	for _, declaration := range wanted.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST || !group.Lparen.IsValid() {
			continue
		}
		if text := group.Doc.Text(); text != "" {
			fmt.Fprintf(b, "%s\n\n", withValues(prose(text), values))
		}
		b.WriteString("| Value | Meaning |\n|---|---|\n")
		for _, spec := range group.Specs {
			spec := spec.(*ast.ValueSpec)
			name := spec.Names[0].Name
			value, ok := values[name]
			if !ok {
				return "", fmt.Errorf("%s: the constant has no value", files.Position(spec.Pos()))
			}
			// A comment starts with the name, and the row with the value.
			meaning := strings.TrimLeft(strings.TrimPrefix(prose(spec.Doc.Text()), name), ": ")
			fmt.Fprintf(b, "| `%s` | %s |\n", value, cell(withValues(meaning, values)))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// evaluate returns the values of the string constants of a package. It does not
// need the packages that are imported.
func evaluate(files *token.FileSet, parsed []*ast.File) map[string]string {
	config := gotypes.Config{Importer: noImporter{}, Error: func(error) {}}
	pkg, _ := config.Check("", files, parsed, nil) // says only that imports are missing
	values := make(map[string]string)
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*gotypes.Const); ok && c.Val().Kind() == constant.String {
			values[name] = constant.StringVal(c.Val())
		}
	}
	return values
}

type noImporter struct{}

// Import implements types.Importer.
func (noImporter) Import(string) (*gotypes.Package, error) { return nil, errors.New("not imported") }

// withValues puts values in the place of constants' names.
func withValues(text string, values map[string]string) string {
	return identifier.ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := values[name]; ok {
			return "`" + value + "`"
		}
		return name
	})
}

var identifier = regexp.MustCompile(`[A-Za-z]+`)
