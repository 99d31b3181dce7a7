// Package credential is where the ambassador's address, CA and token come from:
// a Source that is always current. Directory reads them from files that the
// kubelet refreshes.
package credential

import (
	"log/slog"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// redacted is what a Token prints as.
const redacted = "[redacted]"

// Token is a bearer token. It prints as a placeholder, so that it does not end
// up in a log by accident; string(t) is the token itself.
type Token string

// String hides the token from the fmt package.
func (Token) String() string { return redacted }

// GoString hides the token from the %#v verb.
func (Token) GoString() string { return redacted }

// LogValue hides the token from slog.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the token from encoders.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Snapshot is what is known of one connector at one moment. Its parts belong
// together: a token is never combined with the address of another Snapshot. It
// must not be modified.
type Snapshot struct {
	// Address is the current address, zero if none was delivered, which a sealed
	// Directory takes for no token.
	Address connector.Address
	// CA is a PEM bundle to trust besides the system's roots. It may be empty.
	CA string
	// Token is the token to send, empty if there is none.
	Token Token
	// Problem says why Token is empty, in words for a person.
	Problem error
}

// Source delivers the credential of one connector.
type Source interface {
	// Current is what is known now. It is never nil and costs next to nothing.
	Current() *Snapshot
	// Changed returns a channel that is closed as soon as Current returns
	// something else than it does now.
	Changed() <-chan struct{}
	// Reload looks for news at once, without waiting for a notification, and
	// returns what is then current.
	Reload() *Snapshot
}
