package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	servertls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/cert-manager/cert-manager/pkg/server/tls/authority"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

// Names of the webhook's own objects.
const (
	// CASecretName is the Secret with the CA that signs every replica's serving
	// certificate.
	CASecretName = "connector-webhook-ca"
	// ServiceName is the Service that the API server calls.
	ServiceName = "connector-webhook"
	// ConfigurationName is the MutatingWebhookConfiguration.
	ConfigurationName = "connector-webhook"
)

// settle is how long a new CA stands in every caBundle before a replica that
// serves changes over to it: there may be several API servers, and each learns of
// the new caBundle in its own time.
const settle = 5 * time.Second

// certificateSource is where the serving certificate comes from: the files in
// Config.CertificateDir, or else a CA of the webhook's own.
func certificateSource(config *rest.Config, c *Config, t trust) servertls.CertificateSource {
	if c.CertificateDir != "" {
		return &servertls.FileCertificateSource{
			CertPath: filepath.Join(c.CertificateDir, corev1.TLSCertKey),
			KeyPath:  filepath.Join(c.CertificateDir, corev1.TLSPrivateKeyKey),
		}
	}
	return newOwnSource(t, &authority.DynamicAuthority{
		SecretNamespace: c.Namespace,
		SecretName:      CASecretName,
		CommonName:      ServiceName + "-ca",
		RESTConfig:      config,
	})
}

// newOwnSource makes the source of a certificate that is signed in memory by the
// CA in a Secret, which is made if it is not there and renewed in time.
func newOwnSource(t trust, ca servertls.Authority) *servertls.DynamicSource {
	return &servertls.DynamicSource{
		DNSNames:      []string{t.dnsName()},
		RetryInterval: 200 * time.Millisecond, // until the CA has been made, and is trusted
		Authority:     &trustedAuthority{Authority: ca, trust: t},
	}
}

// trustedAuthority signs with a CA once the API server trusts it, and not before.
// Until then the source goes on with the certificate that it has.
type trustedAuthority struct {
	servertls.Authority
	trust trust

	mu sync.Mutex
	// signer is the CA that was trusted last, by its key, and since is when that
	// was first seen.
	signer []byte
	since  time.Time
	// serving says that the source has a certificate.
	serving bool
}

// Sign implements servertls.Authority.
func (a *trustedAuthority) Sign(template *x509.Certificate) (*x509.Certificate, error) {
	leaf, err := a.Authority.Sign(template)
	if err != nil {
		return nil, err
	}
	// Reads from the cache, so it takes no time that a context could end.
	if err := a.trust.check(context.Background(), leaf); err != nil {
		return nil, fmt.Errorf("%w: %w", authority.ErrCertificateNotAvailable, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !bytes.Equal(a.signer, leaf.AuthorityKeyId) {
		a.signer, a.since = leaf.AuthorityKeyId, time.Now()
	}
	if a.serving && time.Since(a.since) < settle {
		return nil, fmt.Errorf("%w: its CA stands in every caBundle only for a moment", authority.ErrCertificateNotAvailable)
	}
	a.serving = true
	return leaf, nil
}
