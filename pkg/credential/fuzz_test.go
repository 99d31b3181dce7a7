package credential_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/kube-connector/kube-connector/pkg/credential"
)

func FuzzParseToken(f *testing.F) {
	for _, s := range []string{"token\n", "a.b.c\r\n", "", "\n", "a b", "a\nb", "\x00", "ü", "Bearer x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := credential.ParseToken(data)
		if err != nil {
			if token != "" || len(data) > 20 && strings.Contains(err.Error(), string(data)) {
				t.Fatalf("%q: %q, %v", data, string(token), err)
			}
			return
		}
		if token == "" || strings.ContainsFunc(string(token), func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Fatalf("%q is no token", string(token))
		}
	})
}

func FuzzParseCA(f *testing.F) {
	f.Add([]byte(newCA(f)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := credential.ParseCA(data)
		if err != nil || bundle == "" {
			return
		}
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(bundle)) {
			t.Fatalf("nothing in %q can be trusted", bundle)
		}
		if again, err := credential.ParseCA([]byte(bundle)); err != nil || again != bundle {
			t.Fatalf("%q becomes %q, %v", bundle, again, err)
		}
	})
}
