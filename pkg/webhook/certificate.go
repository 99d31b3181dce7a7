package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	servertls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/cert-manager/cert-manager/pkg/server/tls/authority"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
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

// NewCertificateSource makes the source of the serving certificate: signed in
// memory by the CA in CASecretName, which is made if it is not there and renewed
// in time.
func NewCertificateSource(config *rest.Config, namespace string) *servertls.DynamicSource {
	return &servertls.DynamicSource{
		DNSNames:      []string{dnsName(namespace)},
		RetryInterval: 100 * time.Millisecond, // until the CA has been made
		Authority: &authority.DynamicAuthority{
			SecretNamespace: namespace,
			SecretName:      CASecretName,
			CommonName:      ServiceName + "-ca",
			RESTConfig:      config,
		},
	}
}

// dnsName is what the API server verifies the certificate against.
func dnsName(namespace string) string { return ServiceName + "." + namespace + ".svc" }

// TrustedChecker is the readiness of a replica: it serves with a certificate
// that the API server trusts, because its CA stands in the caBundle of every
// webhook of the configuration.
func TrustedChecker(source servertls.CertificateSource, reader client.Reader, namespace string) healthz.Checker {
	return func(req *http.Request) error {
		certificate, err := source.GetCertificate(nil)
		if err != nil {
			return fmt.Errorf("no serving certificate yet: %w", err)
		}
		var configuration admissionregistrationv1.MutatingWebhookConfiguration
		if err := reader.Get(req.Context(), types.NamespacedName{Name: ConfigurationName}, &configuration); err != nil {
			return fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", ConfigurationName, err)
		}
		for _, w := range configuration.Webhooks {
			if err := trusted(certificate, w.ClientConfig.CABundle, dnsName(namespace)); err != nil {
				return fmt.Errorf("webhook %s: %w", w.Name, err)
			}
		}
		return nil
	}
}

func trusted(certificate *tls.Certificate, caBundle []byte, name string) error {
	leaf := certificate.Leaf
	if leaf == nil {
		return errors.New("the serving certificate could not be parsed")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caBundle)
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
		return fmt.Errorf("the serving certificate is not trusted through caBundle yet: %w", err)
	}
	return nil
}
