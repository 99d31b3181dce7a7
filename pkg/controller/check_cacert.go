package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// checkCACert gathers the certificates that are trusted besides the system's
// roots: the Connector's own, the one beside the token, and those that the
// administrator gives to every Connector. What can be read is trusted, whatever
// is wrong with the rest.
func (r *reconciler) checkCACert(ctx context.Context, e *evaluation) (finding, error) {
	own, err := r.ownCA(ctx, e)
	if err != nil {
		return finding{}, err
	}
	beside := besideToken(e)
	global, err := r.globalCA(ctx, e)
	if err != nil {
		return finding{}, err
	}
	for _, problem := range []*finding{own, beside, global} {
		if problem != nil {
			return *problem, nil
		}
	}
	switch n := e.ca.Len(); n {
	case 0:
		return good(v1alpha1.ReasonNoCACert, "no certificates are named; the system's roots are trusted"), nil
	case 1:
		return good(v1alpha1.ReasonValid, "1 certificate is trusted besides the system's roots"), nil
	default:
		return good(v1alpha1.ReasonValid, "%d certificates are trusted besides the system's roots", n), nil
	}
}

// ownCA adds the certificates of spec.caCertSecretRef. The finding is nil if all
// is well with them.
func (r *reconciler) ownCA(ctx context.Context, e *evaluation) (*finding, error) {
	ref, namespace := e.connector.Spec.CACertSecretRef, e.connector.Namespace
	problem := func(reason v1alpha1.ConditionReason, format string, args ...any) (*finding, error) {
		f := bad(reason, format, args...)
		return &f, nil
	}
	switch {
	case ref == nil:
		return nil, nil
	case ref.Name == "":
		return problem(v1alpha1.ReasonSecretNotFound, "spec.caCertSecretRef has no name; name a Secret or remove it")
	case isElsewhere(ref, namespace):
		return problem(v1alpha1.ReasonSecretNotFound,
			"spec.caCertSecretRef names namespace %q; a Secret can only be used from its own namespace, %q here", ref.Namespace, namespace)
	}
	secret, err := r.readSecret(ctx, namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return problem(v1alpha1.ReasonSecretNotFound,
			"Secret %q does not exist in namespace %q; create it with the CA under key %s", ref.Name, namespace, connector.SecretKeyCA)
	}
	return addSecret(&e.ca, secret), nil
}

// besideToken adds the ca.crt of the Secret with the token.
func besideToken(e *evaluation) *finding {
	if len(e.tokenSecretCA) == 0 {
		return nil
	}
	if err := e.ca.Add(e.tokenSecretCA); err != nil {
		f := badKey(e.connector.Spec.Auth.SecretRef.Name, connector.SecretKeyCA, err)
		return &f
	}
	return nil
}

// globalCA adds the certificates that are trusted for every Connector.
func (r *reconciler) globalCA(ctx context.Context, e *evaluation) (*finding, error) {
	var secrets corev1.SecretList
	err := r.live.List(ctx, &secrets, client.InNamespace(r.options.SystemNamespace), client.MatchingLabels{connector.LabelCACert: "true"})
	if err != nil {
		return nil, fmt.Errorf("listing the Secrets with certificates for every Connector: %w", err)
	}
	var first *finding
	for i := range secrets.Items {
		if problem := addSecret(&e.ca, &secrets.Items[i]); problem != nil && first == nil {
			problem.message = fmt.Sprintf("for every Connector, in namespace %q: %s", r.options.SystemNamespace, problem.message)
			first = problem
		}
	}
	return first, nil
}

// addSecret adds the certificates of a Secret that is there for them.
func addSecret(ca *connector.Bundle, secret *corev1.Secret) *finding {
	var first *finding
	found := false
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		if !connector.IsCertificateKey(key) {
			continue
		}
		found = true
		if err := ca.Add(secret.Data[key]); err != nil && first == nil {
			f := badKey(secret.Name, key, err)
			first = &f
		}
	}
	if !found {
		f := bad(v1alpha1.ReasonInvalidPEM, "Secret %q has no key %s, *.crt or *.pem; put the CA there", secret.Name, connector.SecretKeyCA)
		return &f
	}
	return first
}

func badKey(secret, key string, err error) finding {
	return bad(v1alpha1.ReasonInvalidPEM, "key %q of Secret %q: %v; put only certificates in PEM there", key, secret, err)
}
