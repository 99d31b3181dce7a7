package connector

// Secret types that carry a bearer token, and the keys in them.
const (
	// SecretTypeBearerToken is the type of a Secret with the token under
	// SecretKeyToken and, optionally, a CA bundle under SecretKeyCA.
	SecretTypeBearerToken = "connectors.cpaas.io/bearer-token"
	// SecretTypeServiceAccountToken is Kubernetes' own type, with the same keys.
	SecretTypeServiceAccountToken = "kubernetes.io/service-account-token"

	// SecretKeyToken is the key of the token.
	SecretKeyToken = "token"
	// SecretKeyCA is the key of a PEM bundle that is trusted besides the
	// system's roots.
	SecretKeyCA = "ca.crt"

	// LabelCACert, with the value "true" on a Secret of the system namespace,
	// makes its certificates trusted for every Connector.
	LabelCACert = "connectors.cpaas.io/ca-cert"
)
