package connector_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestParseToken(t *testing.T) {
	for in, want := range map[string]string{
		"abc.def-_~+/=":  "abc.def-_~+/=",
		"user-1:secret":  "user-1:secret",
		"abc\n":          "abc",
		"abc\r\n":        "abc",
		"abc\n\n":        "abc",
		"!\"#$%&'()*~{}": "!\"#$%&'()*~{}",
	} {
		got, err := connector.ParseToken([]byte(in))
		require.NoError(t, err, "%q", in)
		require.Equal(t, want, got)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":              "it is empty",
		"\n":            "it is empty",
		" hunter2":      "a line break or a space",
		"hunter2 ":      "a line break or a space",
		"hun\nter2":     "a line break or a space",
		"hun\tter2":     "a line break or a space",
		"hunter2\x00":   "not printable ASCII",
		"hunter2\x7f":   "not printable ASCII",
		"hunter2\u00e9": "not printable ASCII",
	} {
		_, err := connector.ParseToken([]byte(in))
		require.ErrorIs(t, err, connector.ErrInvalidToken, "%q", in)
		require.ErrorContains(t, err, want, "%q", in)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"", "a", "a\n", " a", "a b", "\r\n", "a\x00", "\u00e9", "a\r\nb\r\n", "Bearer x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		token, err := connector.ParseToken(in)
		if err != nil {
			require.Empty(t, token)
			return
		}
		require.NotEmpty(t, token)
		require.False(t, strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }), "%q", token)
	})
}

func TestTokenLifetime(t *testing.T) {
	const header, issued, expires = `{"alg":"RS256"}`, 1_700_000_000, 1_700_003_600
	both := connector.Lifetime{Issued: time.Unix(issued, 0).UTC(), Expires: time.Unix(expires, 0).UTC()}
	ends := connector.Lifetime{Expires: both.Expires}
	for token, want := range map[string]connector.Lifetime{
		jwt(header, `{"iat":1700000000,"exp":1700003600,"sub":"x"}`):    both,
		jwt(header, `{"iat":1700000000.9,"exp":1700003600.5}`):          both,
		jwt(header, `{"iat":1.7e9,"exp":1700003600}`):                   both,
		jwt(header, `{"exp":1700003600}`):                               ends,
		jwt(header, `{"iat":1700003600,"exp":1700003600}`):              ends,
		jwt(header, `{"iat":"1700000000","exp":1700003600}`):            ends,
		jwt(header, `{"iat":-5,"exp":1700003600}`):                      ends,
		jwt(header, `{"iat":1700000000}`):                               {},
		jwt(header, `{"EXP":1700003600}`):                               {},
		jwt(header, `{"exp":"1700003600"}`):                             {},
		jwt(header, `{"exp":0}`):                                        {},
		jwt(header, `{"exp":1e300}`):                                    {},
		jwt(header, `{"exp":253402300800}`):                             {},
		jwt(header, `{"exp":null}`):                                     {},
		jwt(header, `[1700003600]`):                                     {},
		jwt(header, `{"exp":1700003600`):                                {},
		jwt(`no JSON`, `{"exp":1700003600}`):                            {},
		jwt(header, `{"exp":1700003600}`) + ".x":                        {},
		strings.TrimSuffix(jwt(header, `{"exp":1700003600}`), ".c2ln"):  {},
		jwt(header, `{"exp":1700003600,"pad":"`+long(16<<10, "a")+`"}`): {},
		"an opaque token":                                               {},
		"":                                                              {},
		"..":                                                            {},
	} {
		require.Equal(t, want, connector.TokenLifetime(token), token[:min(len(token), 100)])
	}
}

// jwt is a token with these claims and a signature that nobody checks.
func jwt(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + ".c2ln"
}

func FuzzTokenLifetime(f *testing.F) {
	for _, seed := range []string{`{"iat":1700000000,"exp":1700003600}`, `{"exp":1e308}`, `{"exp":-1}`, `[[[[`, `{"exp":{}}`, ""} {
		f.Add(`{"alg":"none"}`, seed, "")
	}
	f.Add("", "", "a.b.c")
	f.Fuzz(func(t *testing.T, header, claims, raw string) {
		for _, token := range []string{jwt(header, claims), raw} {
			got := connector.TokenLifetime(token)
			if !got.Issued.IsZero() {
				require.True(t, got.Issued.Before(got.Expires))
			}
			if !got.Expires.IsZero() {
				// What the API server could not store would make every write fail.
				_, err := got.Expires.MarshalJSON()
				require.NoError(t, err)
				require.Positive(t, got.Expires.Unix())
			}
		}
	})
}

func TestSecretTypes(t *testing.T) {
	const bearer, serviceAccount = connector.SecretTypeBearerToken, connector.SecretTypeServiceAccountToken
	require.True(t, connector.CarriesToken(bearer))
	require.True(t, connector.CarriesToken(serviceAccount))
	require.False(t, connector.CarriesToken("Opaque"))

	require.True(t, connector.AcceptsSecretType(bearer, bearer))
	require.True(t, connector.AcceptsSecretType(bearer, serviceAccount))
	require.True(t, connector.AcceptsSecretType(serviceAccount, serviceAccount))
	require.False(t, connector.AcceptsSecretType(serviceAccount, bearer))
	require.False(t, connector.AcceptsSecretType(bearer, "Opaque"))

	for key, want := range map[string]bool{
		"ca.crt": true, "extra.crt": true, "roots.pem": true, "tls.crt": true,
		"token": false, "tls.key": false, "ca.crt.bak": false, "crt": false,
	} {
		require.Equal(t, want, connector.IsCertificateKey(key), key)
	}
}
