package connector

import "strings"

// Secret types that carry a bearer token, and the keys in them.
const (
	// SecretTypeBearerToken is the type of a Secret with the token under
	// SecretKeyToken and, optionally, a CA bundle under SecretKeyCA.
	SecretTypeBearerToken = "connectors.cpaas.io/bearer-token" //nolint:gosec // a type, not a token
	// SecretTypeServiceAccountToken is Kubernetes' own type, with the same keys.
	SecretTypeServiceAccountToken = "kubernetes.io/service-account-token" //nolint:gosec // a type, not a token

	// SecretKeyToken is the key of the token.
	SecretKeyToken = "token"
	// SecretKeyCA is the key of a PEM bundle that is trusted besides the
	// system's roots.
	SecretKeyCA = "ca.crt"

	// LabelCACert, with the value "true" on a Secret of the system namespace,
	// makes its certificates trusted for every Connector.
	LabelCACert = "connectors.cpaas.io/ca-cert"
)

// CarriesToken reports whether Secrets of a type have a bearer token under
// SecretKeyToken.
func CarriesToken(secretType string) bool {
	return secretType == SecretTypeBearerToken || secretType == SecretTypeServiceAccountToken
}

// AcceptsSecretType reports whether a Secret of the type got will do where a
// class asks for the type want. A ServiceAccount's token is a bearer token too
// and stands under the same keys, so nobody has to copy it into another Secret.
func AcceptsSecretType(want, got string) bool {
	return got == want || want == SecretTypeBearerToken && got == SecretTypeServiceAccountToken
}

// IsCertificateKey reports whether the value under a key of a Secret with CA
// certificates is read: ca.crt, *.crt and *.pem.
func IsCertificateKey(key string) bool {
	return strings.HasSuffix(key, ".crt") || strings.HasSuffix(key, ".pem")
}
