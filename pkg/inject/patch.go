package inject

import (
	"fmt"
	"strings"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
)

// patcher collects operations. All of them are "add", but for what convert and
// replace do.
type patcher struct {
	operations []jsonpatch.Operation
	// made are the lists and maps that an operation before has made, so that the
	// next one adds to them.
	made     map[string]bool
	warnings []string
}

func (p *patcher) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

func (p *patcher) add(path string, value any) {
	p.op("add", path, value)
}

func (p *patcher) op(operation, path string, value any) {
	p.operations = append(p.operations, jsonpatch.NewOperation(operation, path, value))
}

// replace puts another value in the place of one that must be there.
func (p *patcher) replace(path string, have, value any) {
	p.op("test", path, have)
	p.op("replace", path, value)
}

// make adds the empty list or map at path, once, if the Pod has none. An "add"
// into a member that is not there is an error (RFC 6902 section 4.1).
func (p *patcher) make(path string, length int, empty any) {
	if length > 0 || p.made[path] {
		return
	}
	if p.made == nil {
		p.made = make(map[string]bool)
	}
	p.made[path] = true
	p.add(path, empty)
}

// What make adds. Nobody changes them.
var (
	emptyList any = []any{}
	emptyMap  any = map[string]string{}
)

// appendTo adds value to the end of the list at path, which has length entries.
func (p *patcher) appendTo(path string, length int, value any) {
	p.make(path, length, emptyList)
	p.add(path+"/-", value)
}

// insertFirst adds value before all others in the list at path.
func (p *patcher) insertFirst(path string, length int, value any) {
	p.make(path, length, emptyList)
	p.add(path+"/0", value)
}

// addKey sets a key of ours in the map at path, which is have, unless it has
// that value.
func (p *patcher) addKey(path string, have map[string]string, key, value string) {
	if v, ok := have[key]; ok && v == value {
		return
	}
	p.make(path, len(have), emptyMap)
	p.add(path+"/"+pointerEscapes.Replace(key), value)
}

// pointerEscapes escapes a key for a JSON pointer (RFC 6901 section 3).
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
