package controller

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// authSecret is what is held of a Secret that Connectors authenticate with.
type authSecret struct {
	kind string
	// values are its data. As a map they would take twice the memory.
	values []secretValue
	// lifetime is that of the token.
	lifetime connector.Lifetime
	// ca are the certificates beside the token, nil if there are none.
	ca *authorities
}

type secretValue struct {
	key   string
	value []byte
}

// data is the data as of the Secret. The values are shared.
func (s *authSecret) data() map[string][]byte {
	data := make(map[string][]byte, len(s.values))
	for _, v := range s.values {
		data[v.key] = v.value
	}
	return data
}

// keepAuth takes what is held out of a Secret.
func (p *authorityPool) keepAuth(secret *corev1.Secret) authSecret {
	kept := authSecret{kind: shared(string(secret.Type)), values: make([]secretValue, 0, len(secret.Data))}
	for key, value := range secret.Data {
		if key == connector.SecretKeyCA && len(value) > 0 {
			kept.ca = p.parse(value)
			value = kept.ca.text // shared
		}
		kept.values = append(kept.values, secretValue{shared(key), value})
	}
	if token, err := connector.ParseToken(secret.Data[connector.SecretKeyToken]); err == nil {
		kept.lifetime = connector.TokenLifetime(token)
	}
	return kept
}

// checkSecret takes what authenticates out of the Secret.
func (r *reconciler) checkSecret(ctx context.Context, e *evaluation) (finding, error) {
	namespace, user := e.connector.Namespace, client.ObjectKeyFromObject(e.connector)
	ref := &corev1.ObjectReference{}
	if e.connector.Spec.Auth != nil && e.connector.Spec.Auth.SecretRef != nil {
		ref = e.connector.Spec.Auth.SecretRef
	}
	if !isSecretName(ref.Name) || isElsewhere(ref, namespace) {
		r.authSecrets.forget(user)
	}
	switch {
	case !e.ready(v1alpha1.ConditionConnectorClassReady):
		return unknown("waits for the ConnectorClass, which says what the Secret must be"), nil
	case e.authType == nil:
		return good(v1alpha1.ReasonSecretOptional, "the ConnectorClass needs no Secret"), nil
	case ref.Name == "" && e.authType.Optional:
		return good(v1alpha1.ReasonSecretOptional, "no Secret is named, and the ConnectorClass needs none"), nil
	case ref.Name == "":
		return bad(v1alpha1.ReasonSecretNotFound,
			"no Secret is named; name one in spec.auth.secretRef.name, and create %s", described(e.authType)), nil
	case !isSecretName(ref.Name):
		return bad(v1alpha1.ReasonSecretNotFound,
			"spec.auth.secretRef.name is %q, which cannot be the name of a Secret; correct it", abbreviate(ref.Name)), nil
	case isElsewhere(ref, namespace):
		return bad(v1alpha1.ReasonSecretNotFound,
			"spec.auth.secretRef names namespace %q; a Secret can only be used from its own namespace, %q here", ref.Namespace, namespace), nil
	}

	secret, there, err := r.authSecrets.get(ctx, user, ref.Name)
	switch {
	case apierrors.IsForbidden(err):
		return unreadable(ref.Name), nil
	case err != nil:
		return finding{}, err
	case !there:
		return bad(v1alpha1.ReasonSecretNotFound, "Secret %q does not exist in namespace %q; create %s", ref.Name, namespace, described(e.authType)), nil
	case e.authType.SecretType != "" && !connector.AcceptsSecretType(e.authType.SecretType, secret.kind):
		return bad(v1alpha1.ReasonSecretTypeMismatch, "Secret %q has type %s; make it anew with type %s",
			ref.Name, secret.kind, e.authType.SecretType), nil
	}
	e.tokenSecretCA = secret.ca
	data := secret.data()
	for _, key := range requiredKeys(e.authType, secret.kind) {
		if _, ok := data[key]; !ok {
			return bad(v1alpha1.ReasonSecretKeyMissing, "Secret %q has no key %q; put the %s there", ref.Name, key, whatIsIn(key)), nil
		}
		if len(data[key]) == 0 && key != connector.SecretKeyToken {
			return bad(v1alpha1.ReasonSecretKeyMissing, "key %q of Secret %q is empty; put the value there", key, ref.Name), nil
		}
	}
	if carriesToken(e.authType, secret.kind) {
		token, err := connector.ParseToken(data[connector.SecretKeyToken])
		if err != nil {
			return bad(v1alpha1.ReasonSecretKeyMissing, "key %q of Secret %q is %v; put the bare token there",
				connector.SecretKeyToken, ref.Name, err), nil
		}
		e.sealing, e.lifetime = token, secret.lifetime
		if hasExpired(e.lifetime, e.now) {
			return bad(v1alpha1.ReasonTokenExpired, "the token in Secret %q ended on %s; put a new one under its key %q",
				ref.Name, day(e.lifetime.Expires), connector.SecretKeyToken), nil
		}
		e.token = token
	}
	e.secret = data
	return good(v1alpha1.ReasonResolved, "Secret %q has what is needed", ref.Name), nil
}

// unreadable is what is true of a Secret that RBAC keeps from the controller:
// nobody can know whether it is as it must be.
func unreadable(name string) finding {
	return unknown("the controller may not read Secret %q; allow its ServiceAccount to get it", name)
}

// carriesToken reports whether Connectors of an auth type bring a bearer token,
// with a Secret of this type. Nothing else can be put into requests by the
// sidecar.
func carriesToken(authType *v1alpha1.AuthType, secretType string) bool {
	return authType.Generator == nil && connector.CarriesToken(secretType)
}

// requiredKeys are the keys that a Secret must have: those that the auth type
// asks for, or else those that Secrets of the type always have.
func requiredKeys(authType *v1alpha1.AuthType, secretType string) []string {
	var keys []string
	for _, param := range authType.Params {
		if param.Default == nil {
			keys = append(keys, param.Name)
		}
	}
	if len(authType.Params) == 0 {
		switch secretType {
		case string(corev1.SecretTypeBasicAuth):
			keys = []string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey}
		case string(corev1.SecretTypeSSHAuth):
			keys = []string{corev1.SSHAuthPrivateKey}
		}
	}
	if carriesToken(authType, secretType) && !slices.Contains(keys, connector.SecretKeyToken) {
		keys = append(keys, connector.SecretKeyToken)
	}
	return keys
}

// described is how a Secret of an auth type is made.
func described(authType *v1alpha1.AuthType) string {
	var parts []string
	if authType.SecretType != "" {
		parts = append(parts, "type "+authType.SecretType)
	}
	if keys := requiredKeys(authType, authType.SecretType); len(keys) > 0 {
		parts = append(parts, "key "+strings.Join(keys, ", "))
	}
	if len(parts) == 0 {
		return "it"
	}
	return "it with " + strings.Join(parts, " and ")
}

func whatIsIn(key string) string {
	if key == connector.SecretKeyToken {
		return "token"
	}
	return "value"
}

// isSecretName reports whether there can be a Secret of that name. The API server
// would not even be asked for others.
func isSecretName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// isElsewhere reports whether a reference leaves the namespace. Tokens stay in
// the namespace of their owner.
func isElsewhere(ref *corev1.ObjectReference, namespace string) bool {
	return ref.Namespace != "" && ref.Namespace != namespace
}
