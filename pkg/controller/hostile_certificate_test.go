package controller_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// TestHostileCertificates: what is wrong with a certificate is said in a line of
// text, whatever stands in it; and a server with a bad one gets no token.
func TestHostileCertificates(t *testing.T) {
	const known = "known-token-4711" // as a target that was sent it before
	const odd = "a\nb\r\x00\x1b[31m\u202e\"'`$(id)<script>"
	for name, tc := range map[string]struct {
		change  func(*x509.Certificate)
		key     func(*testing.T) crypto.Signer
		chain   int
		trusted bool
	}{
		"expired":          {change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, trusted: true},
		"of the future":    {change: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, trusted: true},
		"for another host": {change: func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"elsewhere.example"} }, trusted: true},
		"for a thousand hosts": {change: func(c *x509.Certificate) {
			c.IPAddresses = nil
			c.DNSNames = strings.Fields(strings.Repeat("a.example ", 1000))
		}, trusted: true},
		"for odd hosts": {change: func(c *x509.Certificate) {
			c.IPAddresses = nil
			c.DNSNames = []string{"*", "*.*", "a\x00.example", "127.0.0.1"}
		}, trusted: true},
		"for mail":            {change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, trusted: true},
		"of nobody":           {change: func(*x509.Certificate) {}},
		"with an odd name":    {change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: odd, Organization: []string{odd, odd}} }},
		"with the token":      {change: func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: known} }},
		"with a long name":    {change: func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("ü\n", 10<<10) }},
		"with a name of 1 MB": {change: func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 1<<20) }},
		"with a thousand names": {change: func(c *x509.Certificate) {
			c.Subject.OrganizationalUnit = strings.Fields(strings.Repeat("unit ", 1000))
		}},
		"with a weak key":      {change: func(*x509.Certificate) {}, key: weakKey},
		"in a long chain":      {change: func(*x509.Certificate) {}, chain: 150},
		"in a chain of itself": {change: func(c *x509.Certificate) { c.IsCA = true }, chain: 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := strongKey(t)
			if tc.key != nil {
				key = tc.key(t)
			}
			template := &x509.Certificate{
				SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "hostile"},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
				BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			}
			tc.change(template)
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			require.NoError(t, err)
			chain := [][]byte{der}
			for range tc.chain {
				chain = append(chain, der)
			}
			asked := false
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
			server.StartTLS()

			f := newFixture(t, patient)
			f.connector.Spec.Address = server.URL
			delete(f.secret.Data, connector.SecretKeyCA)
			f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive(known))
			if tc.trusted {
				f.secret.Data[connector.SecretKeyCA] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
			}
			f.create(f.secret, f.connector)
			ready := f.verdict()
			server.Close()
			assert.Equal(t, metav1.ConditionFalse, ready.Status, "%s: %s", ready.Reason, ready.Message)
			assert.Contains(t, []string{string(v1alpha1.ReasonCertificateInvalid), string(v1alpha1.ReasonConnectionFailed)}, ready.Reason, ready.Message)
			assert.NotRegexp(t, `[\x00-\x1f\x{202e}]`, ready.Message)
			assert.False(t, asked, "it was trusted")
		})
	}
}

func strongKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func weakKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	return key
}
