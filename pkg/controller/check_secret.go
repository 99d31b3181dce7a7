package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// checkSecret takes the token out of the Secret.
func (r *reconciler) checkSecret(ctx context.Context, e *evaluation) (finding, error) {
	if !e.ready(v1alpha1.ConditionConnectorClassReady) {
		return unknown("waits for the ConnectorClass, which says what the Secret must be"), nil
	}
	namespace := e.connector.Namespace
	ref := &corev1.ObjectReference{}
	if e.connector.Spec.Auth != nil && e.connector.Spec.Auth.SecretRef != nil {
		ref = e.connector.Spec.Auth.SecretRef
	}
	switch {
	case e.authType == nil:
		return good(v1alpha1.ReasonSecretOptional, "the ConnectorClass needs no Secret"), nil
	case ref.Name == "" && e.authType.Optional:
		return good(v1alpha1.ReasonSecretOptional, "no Secret is named, and the ConnectorClass needs none"), nil
	case ref.Name == "":
		return bad(v1alpha1.ReasonSecretNotFound,
			"no Secret is named; name one of type %s in spec.auth.secretRef.name", e.authType.SecretType), nil
	case isElsewhere(ref, namespace):
		return bad(v1alpha1.ReasonSecretNotFound,
			"spec.auth.secretRef names namespace %q; a Secret can only be used from its own namespace, %q here", ref.Namespace, namespace), nil
	}

	secret, err := r.readSecret(ctx, namespace, ref.Name)
	switch {
	case err != nil:
		return finding{}, err
	case secret == nil:
		return bad(v1alpha1.ReasonSecretNotFound, "Secret %q does not exist in namespace %q; create it with type %s and key %s",
			ref.Name, namespace, e.authType.SecretType, connector.SecretKeyToken), nil
	case !connector.AcceptsSecretType(e.authType.SecretType, string(secret.Type)):
		return bad(v1alpha1.ReasonSecretTypeMismatch, "Secret %q has type %s; make it anew with type %s",
			ref.Name, secret.Type, e.authType.SecretType), nil
	}
	e.tokenSecretCA = secret.Data[connector.SecretKeyCA]
	value, ok := secret.Data[connector.SecretKeyToken]
	if !ok {
		return bad(v1alpha1.ReasonSecretKeyMissing, "Secret %q has no key %q; put the token there",
			ref.Name, connector.SecretKeyToken), nil
	}
	token, err := connector.ParseToken(value)
	if err != nil {
		return bad(v1alpha1.ReasonSecretKeyMissing, "key %q of Secret %q is %v; put the bare token there",
			connector.SecretKeyToken, ref.Name, err), nil
	}
	e.token = token
	e.secret = secret.Data
	return good(v1alpha1.ReasonResolved, "Secret %q has a token", ref.Name), nil
}

// isElsewhere reports whether a reference leaves the namespace. Tokens stay in
// the namespace of their owner.
func isElsewhere(ref *corev1.ObjectReference, namespace string) bool {
	return ref.Namespace != "" && ref.Namespace != namespace
}

// readSecret reads a Secret from the API server itself, because the cache holds
// no data of Secrets. It is nil if there is none.
func (r *reconciler) readSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := r.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %q: %w", name, err)
	}
	return &secret, nil
}
