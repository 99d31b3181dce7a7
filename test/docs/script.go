package docs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// End is the last line that a script prints.
const End = "### the end"

// Script is the bash script that does what a document tells people to do. It
// returns "" for a document without commands.
func Script(document *Document, all []*Document) (string, error) {
	if !slices.ContainsFunc(document.Blocks, Block.runs) {
		return "", nil
	}
	b := &strings.Builder{}
	b.WriteString(`set -euo pipefail
trap 'test $? = 0 || echo "### failed: $BASH_COMMAND"' EXIT
`)
	if document.After.Destination != "" {
		before, err := before(document, all)
		if err != nil {
			return "", fmt.Errorf("%s:%d: starts after %s: %w", document.Path, document.After.Line, document.After.Destination, err)
		}
		write(b, before.Path, before.Blocks)
	}
	write(b, document.Path, document.Blocks)
	fmt.Fprintf(b, "echo '%s'\n", End)
	return b.String(), nil
}

// before is the document that another one goes on from, up to the section that
// is named.
func before(document *Document, all []*Document) (*Document, error) {
	name, section, _ := strings.Cut(document.After.Destination, "#")
	name = path.Join(path.Dir(document.Path), name)
	i := slices.IndexFunc(all, func(d *Document) bool { return d.Path == name })
	if i < 0 {
		return nil, errors.New("there is no such document")
	}
	other := all[i]
	if other.After.Destination != "" {
		return nil, errors.New("that one starts after another one itself; name the first")
	}
	for last, block := range slices.Backward(other.Blocks) {
		if block.Section == section {
			return &Document{Path: other.Path, Blocks: other.Blocks[:last+1]}, nil
		}
	}
	return nil, errors.New("no section of that name has a block")
}

func (b Block) runs() bool { return b.Language == "sh" && b.NotRun == "" }

// write writes what is to be done about blocks.
func write(b *strings.Builder, name string, blocks []Block) {
	for _, block := range blocks {
		switch {
		case block.runs():
			fmt.Fprintf(b, "echo '### %s:%d'\n%s\n", name, block.Line, block.Text)
		case block.File != "":
			fmt.Fprintf(b, "cat >%s <<'END OF FILE'\n%sEND OF FILE\n", block.File, block.Text)
		}
	}
}
