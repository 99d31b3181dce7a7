package connector

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
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

// maxReadToken bounds what is looked into for a lifetime, in bytes. Tokens fit
// into a header of a request, for which servers mostly allow less.
const maxReadToken = 16 << 10

// endOfTime is the last moment that timestamps of Kubernetes can say.
const endOfTime = 253402300799 // 9999-12-31T23:59:59Z

// Lifetime is from when until when a token is good, by what it says itself. What
// it does not say is zero.
type Lifetime struct {
	Issued, Expires time.Time
}

// TokenLifetime reads the lifetime of a token that is a JSON Web Token (RFC
// 7519, iat and exp). It does not verify the signature: whoever has the token can
// only deceive himself, and only its issuer could tell. A token of another kind,
// or with claims that make no sense, says nothing.
func TokenLifetime(token string) Lifetime {
	if len(token) > maxReadToken {
		return Lifetime{}
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || claimsOf(parts[0]) == nil {
		return Lifetime{}
	}
	claims := claimsOf(parts[1])
	life := Lifetime{Issued: numericDate(claims["iat"]), Expires: numericDate(claims["exp"])}
	if !life.Issued.Before(life.Expires) {
		life.Issued = time.Time{}
	}
	return life
}

// claimsOf are the claims in a part of a token, nil if it is none. Names are told
// apart by case, as the RFC wants and decoding into a struct does not.
func claimsOf(part string) map[string]json.RawMessage {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(text, &claims) != nil {
		return nil
	}
	return claims
}

// numericDate reads a NumericDate: seconds since 1970, perhaps with a fraction.
func numericDate(value json.RawMessage) time.Time {
	var seconds float64
	if len(value) == 0 || json.Unmarshal(value, &seconds) != nil || seconds < 1 || seconds > endOfTime {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}
