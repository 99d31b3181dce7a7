package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	servertls "github.com/cert-manager/cert-manager/pkg/server/tls"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// trust tells which certificates the API server trusts.
type trust struct {
	// reader reads the webhook configuration.
	reader client.Reader
	// namespace is that of the Service.
	namespace string
}

// dnsName is what the API server verifies the certificate against.
func (t trust) dnsName() string { return ServiceName + "." + t.namespace + ".svc" }

// check verifies a certificate as the API server does: through the caBundle of
// every webhook of the configuration. Further certificates are those between it
// and its CA.
func (t trust) check(ctx context.Context, leaf *x509.Certificate, between ...*x509.Certificate) error {
	var configuration admissionregistrationv1.MutatingWebhookConfiguration
	if err := t.reader.Get(ctx, types.NamespacedName{Name: ConfigurationName}, &configuration); err != nil {
		return fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	if len(configuration.Webhooks) == 0 {
		return fmt.Errorf("MutatingWebhookConfiguration %s has no webhooks; install it again", ConfigurationName)
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range between {
		intermediates.AddCert(certificate)
	}
	for _, w := range configuration.Webhooks {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(w.ClientConfig.CABundle)
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: t.dnsName(), Roots: roots, Intermediates: intermediates}); err != nil {
			return fmt.Errorf("webhook %s: the serving certificate is not trusted through caBundle yet: %w", w.Name, err)
		}
	}
	return nil
}

// checker is the readiness of a replica: it serves with a certificate that the
// API server trusts. Nobody sees the answer to a probe, so it logs what is wrong,
// once.
func (t trust) checker(source servertls.CertificateSource) healthz.Checker {
	var last atomic.Value
	last.Store("")
	return func(req *http.Request) error {
		err := t.serving(req.Context(), source)
		told := ""
		if err != nil {
			told = err.Error()
		}
		if told != last.Swap(told) && err != nil {
			ctrl.Log.WithName("admission").Info("not ready", "reason", told)
		}
		return err
	}
}

func (t trust) serving(ctx context.Context, source servertls.CertificateSource) error {
	certificate, err := source.GetCertificate(nil)
	if err != nil {
		return fmt.Errorf("no serving certificate yet: %w", err)
	}
	chain, err := x509.ParseCertificates(bytes.Join(certificate.Certificate, nil))
	if err != nil || len(chain) == 0 {
		return errors.Join(errors.New("the serving certificate cannot be read"), err)
	}
	return t.check(ctx, chain[0], chain[1:]...)
}
