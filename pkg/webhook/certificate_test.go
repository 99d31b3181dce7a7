package webhook

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	servertls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const week = 7 * 24 * time.Hour

// TestSource: a new CA is used once it has stood in every caBundle for a moment, and
// what has been served until then is served on; a certificate of a CA that is used
// already is renewed when two thirds of its life are over.
func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := &memoryCA{}
		ca.rotate(t)
		api := newAPI(t)
		source := runSource(t, api, ca)
		served := func() *x509.Certificate {
			synctest.Wait()
			certificate, err := source.GetCertificate(nil)
			if err != nil {
				return nil
			}
			return certificate.Leaf
		}

		pass(time.Minute)
		assert.Nil(t, served(), "nobody trusts the CA yet")

		first := ca.pem()
		setBundles(t, api, first, "")
		pass(time.Minute)
		assert.Nil(t, served(), "one of two webhooks trusts the CA")

		setBundles(t, api, first, first)
		pass(time.Second)
		before := served()
		require.NotNil(t, before, "there is nothing to wait for: nobody has been served")

		ca.rotate(t)
		pass(time.Minute)
		assert.Equal(t, before, served(), "nobody trusts the new CA yet")

		setBundles(t, api, first+ca.pem(), ca.pem()+first)
		pass(settle)
		assert.Equal(t, before, served(), "some API server may not know of the new CA yet")

		pass(time.Second)
		after := served()
		require.NotEqual(t, before.AuthorityKeyId, after.AuthorityKeyId, "the new CA is not used")

		pass(week/2 - time.Minute)
		assert.Equal(t, after, served(), "renewed too early")
		pass(week / 4)
		assert.NotEqual(t, after, served(), "not renewed")
		assert.Equal(t, after.AuthorityKeyId, served().AuthorityKeyId)
	})
}

// pass lets time pass, which in a bubble of synctest takes none.
func pass(d time.Duration) { <-time.After(d) }

// runSource runs the source of certificates until the test ends.
func runSource(t *testing.T, api client.Client, ca *memoryCA) *servertls.DynamicSource {
	t.Helper()
	source := newOwnSource(trust{reader: api, namespace: "connectors-system"}, ca)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- source.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return source
}

func newAPI(t *testing.T) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(&admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{{Name: "one"}, {Name: "two"}},
	}).Build()
}

func setBundles(t *testing.T, api client.Client, bundles ...string) {
	t.Helper()
	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, api.Get(t.Context(), client.ObjectKey{Name: ConfigurationName}, &c))
	for i := range c.Webhooks {
		c.Webhooks[i].ClientConfig.CABundle = []byte(bundles[i])
	}
	require.NoError(t, api.Update(t.Context(), &c))
}

// memoryCA is the CA of a Secret, without the Secret.
type memoryCA struct {
	mu          sync.Mutex
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	watches     []chan<- struct{}
}

var _ servertls.Authority = (*memoryCA)(nil)

func (*memoryCA) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (a *memoryCA) WatchRotation(ch chan<- struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches = append(a.watches, ch)
}

func (*memoryCA) StopWatchingRotation(chan<- struct{}) {}

func (a *memoryCA) Sign(template *x509.Certificate) (*x509.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now(), time.Now().Add(week)
	return sign(template, a.certificate, template.PublicKey, a.key)
}

// rotate makes a new CA.
func (a *memoryCA) rotate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "ca"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(52 * week),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, err := sign(template, template, key.Public(), key)
	require.NoError(t, err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.key, a.certificate = key, certificate
	for _, ch := range a.watches {
		ch <- struct{}{}
	}
}

func (a *memoryCA) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
