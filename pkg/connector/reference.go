package connector

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrInvalidReference is wrapped by every error of ParseReference and
// ParseReferences.
var ErrInvalidReference = errors.New("invalid connector reference")

const (
	// MaxNameLength is the longest name of a Connector, in bytes. The name
	// stands in label values, which Kubernetes bounds at 63.
	MaxNameLength = 63
	// MaxReferences is how many Connectors one Pod may name.
	MaxReferences = 16
)

// label is a DNS label (RFC 1123): the form of a namespace's name.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// subdomain is a DNS subdomain (RFC 1123): the form of a Connector's name.
var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// Reference names a Connector. Both fields are set.
type Reference struct {
	Namespace string
	Name      string
}

// ParseReference reads "name" or "namespace/name". A bare name is in
// defaultNamespace. Errors wrap ErrInvalidReference.
func ParseReference(s, defaultNamespace string) (Reference, error) {
	namespace, name, both := strings.Cut(s, "/")
	if !both {
		namespace, name = defaultNamespace, s
	}
	if len(namespace) > MaxNameLength || !label.MatchString(namespace) {
		return Reference{}, fmt.Errorf("%w %q: the namespace must be a DNS label; write name or namespace/name", ErrInvalidReference, abbreviate(s))
	}
	if len(name) > MaxNameLength || !subdomain.MatchString(name) {
		return Reference{}, fmt.Errorf("%w %q: the name must be a DNS name of at most %d characters; write name or namespace/name", ErrInvalidReference, abbreviate(s), MaxNameLength)
	}
	return Reference{Namespace: namespace, Name: name}, nil
}

// ParseReferences reads a comma-separated list of references, in order. Spaces
// around an entry are ignored; an empty list, an empty entry, an entry named
// twice and more than MaxReferences entries are errors.
func ParseReferences(s, defaultNamespace string) ([]Reference, error) {
	if strings.TrimSpace(s) == "" {
		return nil, fmt.Errorf("%w: the list is empty; name at least one Connector", ErrInvalidReference)
	}
	parts := strings.Split(s, ",")
	if len(parts) > MaxReferences {
		return nil, fmt.Errorf("%w: %d Connectors are named, at most %d are allowed", ErrInvalidReference, len(parts), MaxReferences)
	}
	refs := make([]Reference, 0, len(parts))
	seen := make(map[Reference]bool, len(parts))
	for _, part := range parts {
		ref, err := ParseReference(strings.TrimSpace(part), defaultNamespace)
		if err != nil {
			return nil, err
		}
		if seen[ref] {
			return nil, fmt.Errorf("%w: %s is named twice; name it once", ErrInvalidReference, ref)
		}
		seen[ref] = true
		refs = append(refs, ref)
	}
	return refs, nil
}

// String is "namespace/name".
func (r Reference) String() string { return r.Namespace + "/" + r.Name }
