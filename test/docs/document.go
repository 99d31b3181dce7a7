// Package docs reads the documents of this repository, so that tests can check
// what they say and run what they tell people to run.
//
// In a document a fenced block tagged sh is run. The blocks of a document run in
// order, in one bash. A block that cannot be run says why:
//
//	```sh not-run: needs a container registry
//
// A block tagged yaml must be valid; one tagged yaml file=NAME is also written to
// that file for the commands that follow. All else is for the eye.
//
// A document that goes on where a section of another one ends says so, in a
// comment that readers don't see:
//
//	<!-- starts after: quickstart.md#use-it -->
package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Document is a Markdown file.
type Document struct {
	// Path of the file below the root of the repository, with slashes.
	Path string
	// Blocks are its fenced code blocks, in order.
	Blocks []Block
	// Links are where it points to.
	Links []Link
	// Anchors are what links can point to in it: one for each heading.
	Anchors []string
	// After is the link to the section that this document goes on from, or "".
	After Link
}

// Block is a fenced code block.
type Block struct {
	// Line is where its content starts.
	Line int
	// Section is the anchor of the heading that it stands under.
	Section string
	// Language is its tag.
	Language string
	// NotRun is why a block of commands is not run; "" if it is.
	NotRun string
	// File is the name of the file that a manifest is written to, or "".
	File string
	// Text is its content.
	Text string
}

// Link is where a document points to.
type Link struct {
	// Line is where it stands, or 0.
	Line int
	// Destination is what it points to, as it is written.
	Destination string
}

// Find reads all documents below root.
func Find(root fs.FS) ([]*Document, error) {
	var found []*Document
	var wrong []error
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			hidden := strings.HasPrefix(entry.Name(), ".") && name != "."
			if hidden || slices.Contains([]string{"bin", "testdata", "node_modules"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		case path.Ext(name) != ".md":
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		document, err := Parse(name, content)
		if err != nil {
			wrong = append(wrong, err)
			return nil
		}
		found = append(found, document)
		return nil
	})
	return found, errors.Join(append(wrong, err)...)
}

// Parse reads a document.
func Parse(name string, source []byte) (*Document, error) {
	p := &parser{source: source, document: &Document{Path: name}}
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM))
	if err := ast.Walk(markdown.Parser().Parse(text.NewReader(source)), p.enter); err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	return p.document, nil
}

type parser struct {
	source   []byte
	document *Document
	// line of the block that is being read.
	line    int
	section string
}

func (p *parser) enter(node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	if node.Type() == ast.TypeBlock && node.Lines().Len() > 0 {
		p.line = 1 + strings.Count(string(p.source[:node.Lines().At(0).Start]), "\n")
	}
	switch node := node.(type) {
	case *ast.Heading:
		p.section = p.anchor(p.text(node))
	case *ast.FencedCodeBlock:
		block, err := p.block(node)
		if err != nil {
			return ast.WalkStop, fmt.Errorf("%d: %w", p.line, err)
		}
		p.document.Blocks = append(p.document.Blocks, block)
	case *ast.HTMLBlock:
		if match := after.FindSubmatch(node.Lines().Value(p.source)); match != nil {
			p.document.After = Link{Line: p.line, Destination: string(match[1])}
		}
	case *ast.Link:
		p.link(string(node.Destination))
	case *ast.Image:
		p.link(string(node.Destination))
	}
	return ast.WalkContinue, nil
}

var after = regexp.MustCompile(`^<!-- starts after: (\S+) -->`)

func (p *parser) link(destination string) {
	p.document.Links = append(p.document.Links, Link{Line: p.line, Destination: destination})
}

// block reads the tag of a block: a language, and what the package's comment
// says can follow it.
func (p *parser) block(node *ast.FencedCodeBlock) (Block, error) {
	block := Block{Line: p.line, Section: p.section, Text: string(node.Lines().Value(p.source))}
	info := ""
	if node.Info != nil {
		info = string(node.Info.Value(p.source))
	}
	language, rest, _ := strings.Cut(info, " ")
	block.Language = language
	if !slices.Contains(Languages, language) {
		return block, fmt.Errorf("a block is tagged %q; use one of %s", language, strings.Join(Languages, ", "))
	}
	switch rest = strings.TrimSpace(rest); {
	case rest == "":
		return block, nil
	case language == "sh":
		reason, found := strings.CutPrefix(rest, "not-run:")
		block.NotRun = strings.TrimSpace(reason)
		if !found || block.NotRun == "" {
			return block, fmt.Errorf("%q after sh; say sh not-run: and the reason", rest)
		}
		return block, nil
	case language == "yaml":
		name, found := strings.CutPrefix(rest, "file=")
		if !found || !fileName.MatchString(name) {
			return block, fmt.Errorf("%q after yaml; say yaml file=NAME.yaml, without a directory", rest)
		}
		block.File = name
		return block, nil
	default:
		return block, fmt.Errorf("%q after %s means nothing; remove it", rest, language)
	}
}

// Languages are the tags that blocks can have.
var Languages = []string{"sh", "yaml", "console", "text", "json", "go", "python", "javascript", "java", "rust", "hcl", "groovy", "toml", "dockerfile"}

var fileName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*\.yaml$`)

// text is what a person reads of a node.
func (p *parser) text(node ast.Node) string {
	var b strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		switch child := child.(type) {
		case *ast.Text:
			b.Write(child.Value(p.source))
		case *ast.String:
			b.Write(child.Value)
		default:
			b.WriteString(p.text(child))
		}
	}
	return b.String()
}

// anchor is what GitHub makes of a heading.
func (p *parser) anchor(heading string) string {
	name := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
	anchor := name
	for n := 1; slices.Contains(p.document.Anchors, anchor); n++ {
		anchor = fmt.Sprintf("%s-%d", name, n)
	}
	p.document.Anchors = append(p.document.Anchors, anchor)
	return anchor
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M}_ -]`)
