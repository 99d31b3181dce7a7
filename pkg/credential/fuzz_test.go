package credential_test

import (
	"crypto/x509"
	"testing"

	"github.com/kube-connector/kube-connector/pkg/credential"
)

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
