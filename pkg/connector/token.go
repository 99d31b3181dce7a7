package connector

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidToken is wrapped by every error of ParseToken. The errors say what
// is wrong with the token without a byte of it.
var ErrInvalidToken = errors.New("not a token")

var (
	errEmptyToken    = fmt.Errorf("%w: it is empty", ErrInvalidToken)
	errTokenHasSpace = fmt.Errorf("%w: it has a line break or a space in it", ErrInvalidToken)
	errTokenNotASCII = fmt.Errorf("%w: it has characters that are not printable ASCII", ErrInvalidToken)
)

// ParseToken reads a bearer token as the key of a Secret holds it. Line breaks
// at its end are dropped, because editors and echo add them. Anything else that
// does not fit into one word of a header is an error.
func ParseToken(value []byte) (string, error) {
	token := strings.TrimRight(string(value), "\r\n")
	if token == "" {
		return "", errEmptyToken
	}
	for _, b := range []byte(token) {
		switch {
		case b == ' ' || b == '\n' || b == '\r' || b == '\t':
			return "", errTokenHasSpace
		case b < ' ' || b > '~':
			return "", errTokenNotASCII
		}
	}
	return token, nil
}
