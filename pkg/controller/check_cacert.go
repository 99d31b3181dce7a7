package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// caSecret is what is held of a Secret that is there for its certificates.
type caSecret struct {
	ca *authorities
	// problem is what is wrong with it, nil if nothing is.
	problem *finding
}

// keepCA takes what is held out of a Secret.
func (p *authorityPool) keepCA(secret *corev1.Secret) caSecret {
	var kept caSecret
	var parts []*authorities
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		if !connector.IsCertificateKey(key) {
			continue
		}
		part := p.parse(secret.Data[key])
		parts = append(parts, part)
		if part.problem != nil && kept.problem == nil {
			kept.problem = badKey(secret.Name, key, part.problem)
		}
	}
	if len(parts) == 0 {
		f := bad(v1alpha1.ReasonInvalidPEM, "Secret %q has no key %s, *.crt or *.pem; put the CA there", secret.Name, connector.SecretKeyCA)
		kept.problem = &f
	}
	kept.ca = p.join(parts...)
	return kept
}

func badKey(secret, key string, err error) *finding {
	f := bad(v1alpha1.ReasonInvalidPEM, "key %q of Secret %q: %v; put only certificates in PEM there", key, secret, err)
	return &f
}

// checkCACert gathers the certificates that are trusted besides the system's
// roots: the Connector's own, the one beside the token, and those that the
// administrator gives to every Connector. What can be read is trusted, whatever
// is wrong with the rest.
func (r *reconciler) checkCACert(ctx context.Context, e *evaluation) (finding, error) {
	own, err := r.ownCA(ctx, e)
	if err != nil {
		return finding{}, err
	}
	beside := caSecret{ca: e.tokenSecretCA}
	if beside.ca != nil && beside.ca.problem != nil {
		beside.problem = badKey(e.connector.Spec.Auth.SecretRef.Name, connector.SecretKeyCA, beside.ca.problem)
	}
	global, err := r.globalCAs.get(ctx)
	if err != nil {
		return finding{}, err
	}
	var parts []*authorities
	var problem *finding
	for _, source := range []caSecret{own, beside, global} {
		if source.ca != nil && source.ca.Len() > 0 {
			parts = append(parts, source.ca)
		}
		if problem == nil {
			problem = source.problem
		}
	}
	e.ca = r.authorities.join(parts...)
	switch n := e.ca.Len(); {
	case problem != nil:
		return *problem, nil
	case n == 0:
		return good(v1alpha1.ReasonNoCACert, "no certificates are named; the system's roots are trusted"), nil
	case n == 1:
		return good(v1alpha1.ReasonValid, "1 certificate is trusted besides the system's roots"), nil
	default:
		return good(v1alpha1.ReasonValid, "%d certificates are trusted besides the system's roots", n), nil
	}
}

// ownCA are the certificates of spec.caCertSecretRef.
func (r *reconciler) ownCA(ctx context.Context, e *evaluation) (caSecret, error) {
	ref, namespace, user := e.connector.Spec.CACertSecretRef, e.connector.Namespace, client.ObjectKeyFromObject(e.connector)
	problem := func(f finding) (caSecret, error) { return caSecret{problem: &f}, nil }
	if ref == nil || !isSecretName(ref.Name) || isElsewhere(ref, namespace) {
		r.caSecrets.forget(user)
	}
	switch {
	case ref == nil:
		return caSecret{}, nil
	case ref.Name == "":
		return problem(bad(v1alpha1.ReasonSecretNotFound, "spec.caCertSecretRef has no name; name a Secret or remove it"))
	case !isSecretName(ref.Name):
		return problem(bad(v1alpha1.ReasonSecretNotFound,
			"spec.caCertSecretRef.name is %q, which cannot be the name of a Secret; correct it", abbreviate(ref.Name)))
	case isElsewhere(ref, namespace):
		return problem(bad(v1alpha1.ReasonSecretNotFound,
			"spec.caCertSecretRef names namespace %q; a Secret can only be used from its own namespace, %q here", ref.Namespace, namespace))
	}
	secret, there, err := r.caSecrets.get(ctx, user, ref.Name)
	switch {
	case apierrors.IsForbidden(err):
		return problem(unreadable(ref.Name))
	case err != nil:
		return caSecret{}, err
	case !there:
		return problem(bad(v1alpha1.ReasonSecretNotFound,
			"Secret %q does not exist in namespace %q; create it with the CA under key %s", ref.Name, namespace, connector.SecretKeyCA))
	}
	return secret, nil
}

// inSystemNamespace makes the problem of a global CA one that the owner of a
// Connector can tell from his own.
func inSystemNamespace(namespace string, problem *finding) *finding {
	f := *problem
	f.message = fmt.Sprintf("for every Connector, in namespace %q: %s", namespace, f.message)
	return &f
}
