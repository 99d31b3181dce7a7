package credential_test

import (
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/connector"
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

// Whatever the files hold, a token is one that can stand in a header, goes nowhere
// that it does not vouch for, and is not in what is said about it.
func FuzzDirectory(f *testing.F) {
	const token, url = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "https://api.example:6443"
	ca := newCA(f)
	address, err := connector.ParseAddress(url)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token, ca, url, connector.Seal(token, ref, address, []byte(ca)), true)
	f.Add(token+"\n", "# a comment\n"+ca, url+"\n", connector.Seal(token, ref, address, []byte(ca))+"\n", true)
	f.Add(token, ca, "https://evil.example", connector.Seal(token, ref, address, []byte(ca)), true)
	f.Add(token, ca, url, "", false)
	f.Add(token, "", "", "", true)
	f.Add("two lines\nof it", "not PEM", "http://api.example", "\x00", false)
	f.Add("Bearer "+token, "", url+"/../a?b", "", false)
	f.Fuzz(func(t *testing.T, token, ca, address, seal string, sealed bool) {
		root := t.TempDir()
		dir := filepath.Join(root, ref.Namespace, ref.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"token": token, "ca.crt": ca, "address": address, "seal": seal} {
			if content == "" {
				continue // not there
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		log := &testkit.Log{}
		s := credential.NewDirectory(root, sealed, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Source(ref).Current()

		said := log.String()
		if s.Problem != nil {
			said += s.Problem.Error()
		}
		// Short ones are in any text, and an address that is wrong is quoted.
		if bare := strings.TrimSpace(token); len(bare) > 20 && !strings.Contains(address, bare) && strings.Contains(said, bare) {
			t.Fatalf("%q is in %q", bare, said)
		}
		if s.Token == "" {
			if s.Problem == nil {
				t.Fatal("no token, and nothing is said")
			}
			return
		}
		if value := string(s.Token); strings.ContainsAny(value, " \t\r\n") || !httpguts.ValidHeaderFieldValue(value) || !strings.Contains(token, value) {
			t.Fatalf("the token is %q", value)
		}
		if s.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s.CA)) {
			t.Fatalf("nothing in %q can be trusted", s.CA)
		}
		if !s.Address.IsZero() && !strings.HasPrefix(s.Address.String(), "https://") {
			t.Fatalf("the address is %s", s.Address)
		}
		if sealed && !connector.SealedBy(seal, string(s.Token), ref, s.Address, []byte(s.CA)) {
			t.Fatalf("%q does not seal %s", seal, s.Address)
		}
		if sealed && s.Address.IsZero() {
			t.Fatal("nobody has said where the token may go")
		}
	})
}
