package probe

import (
	"errors"
	"fmt"
	"strings"

	texttemplate "github.com/DataDog/datadog-agent/pkg/template/text"
	"github.com/Masterminds/sprig/v3"
)

// sprigFunctions are those functions of sprig that templates may call: they depend
// on nothing but their arguments, and what they return is about as long as those.
var sprigFunctions = []string{
	"trim", "trimAll", "trimPrefix", "trimSuffix", "upper", "lower", "contains", "hasPrefix", "hasSuffix",
	"quote", "squote", "cat", "trunc", "substr", "nospace", "toString", "atoi", "int", "int64", "add", "sub",
	"splitList", "split", "first", "last", "default", "empty", "coalesce", "ternary",
	"b64enc", "b64dec", "b32enc", "b32dec", "sha1sum", "sha256sum", "urlParse", "urlJoin", "base", "dir",
}

// ownFunctions stand in for those of sprig and of text/template that can make much
// out of little.
var ownFunctions = texttemplate.FuncMap{
	"replace":  replace,
	"join":     join,
	"list":     list,
	"printf":   printf,
	"print":    fmt.Sprint,
	"println":  fmt.Sprintln,
	"html":     texttemplate.HTMLEscaper,
	"js":       texttemplate.JSEscaper,
	"urlquery": texttemplate.URLQueryEscaper,
}

// functions are all that templates may call, paid for out of the budget, besides
// and, or, not, eq, ne, lt, le, gt, ge, index, slice and len, which are cheap.
func (b *budget) functions() texttemplate.FuncMap {
	all := make(texttemplate.FuncMap, len(sprigFunctions)+len(ownFunctions))
	from := sprig.TxtFuncMap()
	for _, name := range sprigFunctions {
		all[name] = b.bound(from[name])
	}
	for name, function := range ownFunctions {
		all[name] = b.bound(function)
	}
	return all
}

func replace(old, replacement, s string) (string, error) {
	if len(s)+strings.Count(s, old)*len(replacement) > maxText {
		return "", errTooLong
	}
	return strings.ReplaceAll(s, old, replacement), nil
}

var errNotTexts = errors.New("a list has something in it that is no text, number, true or false")

func join(separator string, parts any) (string, error) {
	var texts []string
	switch parts := parts.(type) {
	case []string:
		texts = parts
	case []any:
		for _, part := range parts {
			texts = append(texts, fmt.Sprint(part))
		}
	default:
		return "", errNotTexts
	}
	length := len(separator) * len(texts)
	for _, text := range texts {
		length += len(text)
	}
	if length > maxText {
		return "", errTooLong
	}
	return strings.Join(texts, separator), nil
}

// list makes no lists of lists: printing one that holds another twice, and that
// another twice, and so on, would never end.
func list(items ...any) ([]any, error) {
	for _, item := range items {
		switch item.(type) {
		case string, bool, int, int64, float64:
		default:
			return nil, errNotTexts
		}
	}
	return items, nil
}

var errWidth = errors.New("printf has a width or a precision above 99, * or [n]; leave it out")

// printf bounds widths and precisions: %1000000d makes a megabyte out of a digit.
func printf(format string, args ...any) (string, error) {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		digits := 0
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; i++ {
			switch c := format[i]; {
			case c == '*' || c == '[' || c == ']':
				return "", errWidth
			case c < '0' || c > '9':
				digits = 0
			default:
				digits++
			}
			if digits > 2 {
				return "", errWidth
			}
		}
	}
	return fmt.Sprintf(format, args...), nil
}
