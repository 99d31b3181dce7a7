package probe

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/template/parse"

	// text/template, but for calls of methods, which make the linker keep all methods
	// of all types of the Kubernetes libraries: 10 MB.
	texttemplate "github.com/DataDog/datadog-agent/pkg/template/text"
)

// template is a Go template of a class. It may be used by several goroutines.
type template struct {
	field string

	mu     sync.Mutex // one rendering at a time, because they share the budget
	budget budget
	parsed *texttemplate.Template
}

// turn is the function that each turn of a loop calls first. Templates of classes
// cannot call it: it is not known yet when they are parsed.
const turn = "turn"

// compileTemplate compiles a template. The error is a *FieldError.
func compileTemplate(field, source string) (*template, error) {
	if len(source) > maxSource {
		return nil, &FieldError{Field: field, Problem: fmt.Sprintf("is longer than %d bytes; shorten it", maxSource)}
	}
	t := &template{field: field}
	parsed, err := texttemplate.New("").Option("missingkey=error").Funcs(t.budget.functions()).Parse(source)
	if err != nil {
		problem := strings.TrimPrefix(err.Error(), "template: :")
		return nil, &FieldError{Field: field, Problem: "is not a Go template with the functions that probes have: line " + problem}
	}
	parsed.Funcs(texttemplate.FuncMap{turn: func(cost int) (string, error) { return "", t.budget.spend(cost) }})
	if len(parsed.Templates()) > 1 || parsed.Tree == nil && len(parsed.Templates()) > 0 {
		return nil, &FieldError{Field: field, Problem: "defines templates, which probes must not; write it without define and block"}
	}
	t.parsed = parsed
	if parsed.Tree != nil {
		if err := t.meter(parsed.Root); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// meter makes each loop below a list of nodes pay for its turns.
func (t *template) meter(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		var branch *parse.BranchNode
		switch node := node.(type) {
		case *parse.TemplateNode:
			return &FieldError{Field: t.field, Problem: "calls templates, which probes must not; write it without template and block"}
		case *parse.IfNode:
			branch = &node.BranchNode
		case *parse.WithNode:
			branch = &node.BranchNode
		case *parse.RangeNode:
			branch = &node.BranchNode
		default:
			continue
		}
		cost := 1 + len(branch.List.String())/8
		if err := errors.Join(t.meter(branch.List), t.meter(branch.ElseList)); err != nil {
			return err
		}
		if node.Type() == parse.NodeRange {
			pay, err := texttemplate.New("").Funcs(texttemplate.FuncMap{turn: func(int) string { return "" }}).
				Parse(fmt.Sprintf("{{%s %d}}", turn, cost))
			if err != nil {
				return fmt.Errorf("metering %s: %w", t.field, err)
			}
			branch.List.Nodes = append(pay.Root.Nodes, branch.List.Nodes...)
		}
	}
	return nil
}

// render renders the template. The error is an *Error.
func (t *template) render(data *view) (string, error) {
	if t.parsed.Tree == nil {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.budget.left = maxWork
	var out writer
	if err := t.parsed.Execute(&out, data); err != nil {
		return "", t.unrenderable(renderProblem(err))
	}
	return string(out.text), nil
}

func (t *template) unrenderable(problem string) error {
	return &Error{Unrenderable, fmt.Sprintf("%s cannot be rendered: %s", t.field, problem)}
}

// renderProblem says what is wrong without the text of the error, which may hold
// what a function got of the Secret. What stands in <> is the class's own text.
func renderProblem(err error) string {
	text := err.Error()
	where := ""
	if _, rest, ok := strings.Cut(text, " at <"); ok {
		if node, _, ok := strings.Cut(rest, ">: "); ok {
			where = printable(node) + ": "
		}
	}
	switch {
	case errors.Is(err, errTooMuchWork), errors.Is(err, errTooLong), errors.Is(err, errNotTexts), errors.Is(err, errWidth):
		for _, known := range []error{errTooMuchWork, errTooLong, errNotTexts, errWidth} {
			if errors.Is(err, known) {
				return where + known.Error()
			}
		}
	case strings.Contains(text, ">: map has no entry for key"):
		return where + "there is no such key; add it, or let the template do without"
	case strings.Contains(text, ">: nil pointer evaluating"):
		return where + "there is no Secret; name one, or let the template do without"
	}
	return where + "it does not fit the values; correct them or the template"
}
