package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// maxTrusted is how many CAs stand in a caBundle: the current one, and those
// before it that a replica may still serve with.
const maxTrusted = 3

// CABundle keeps the CA of CASecretName in every caBundle of the webhook
// configuration, beside the ones before it that have not expired: after a
// renewal, another replica may serve with a certificate of the old CA for a
// moment.
type CABundle struct {
	// Client reads both objects from the cache and updates the configuration.
	Client client.Client
	// Namespace of the Secret.
	Namespace string
}

// SetupWithManager registers the reconciler. Every replica runs it: readiness
// needs it, and the update is the same whoever writes it.
func (b *CABundle) SetupWithManager(mgr ctrl.Manager) error {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: ConfigurationName}}
	always := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("ca-bundle").
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, always).
		Watches(&corev1.Secret{}, always).
		Complete(b)
	if err != nil {
		return fmt.Errorf("setting up the caBundle reconciler: %w", err)
	}
	return nil
}

// Reconcile brings the caBundles up to date.
func (b *CABundle) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var secret corev1.Secret
	if err := b.Client.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: CASecretName}, &secret); err != nil {
		// Not made yet: its creation brings us back.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var configuration admissionregistrationv1.MutatingWebhookConfiguration
	if err := b.Client.Get(ctx, types.NamespacedName{Name: ConfigurationName}, &configuration); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	changed := false
	updated := configuration.DeepCopy()
	for i := range updated.Webhooks {
		config := &updated.Webhooks[i].ClientConfig
		bundle := mergeBundle(secret.Data[corev1.TLSCertKey], config.CABundle, time.Now())
		if !bytes.Equal(bundle, config.CABundle) {
			config.CABundle = bundle
			changed = true
		}
	}
	if !changed {
		return reconcile.Result{}, nil
	}
	err := b.Client.Update(ctx, updated)
	if apierrors.IsConflict(err) {
		// The other replica was faster; its write brings us back.
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("writing caBundle into MutatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return reconcile.Result{}, nil
}

// mergeBundle puts current first and keeps what else is in bundle and valid, up
// to maxTrusted certificates. What is not a certificate is dropped: the API
// server would refuse the whole bundle for it.
func mergeBundle(current, bundle []byte, now time.Time) []byte {
	var merged []byte
	seen := make(map[string]bool)
	for rest := append(append([]byte{}, current...), bundle...); len(seen) < maxTrusted; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || now.After(certificate.NotAfter) || seen[string(block.Bytes)] {
			continue
		}
		seen[string(block.Bytes)] = true
		merged = append(merged, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
	}
	return merged
}
