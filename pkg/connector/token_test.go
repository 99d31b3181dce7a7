package connector_test

import (
	"strings"
	"testing"

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
