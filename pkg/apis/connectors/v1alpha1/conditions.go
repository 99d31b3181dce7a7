package v1alpha1

// ConditionType is the type of a condition in the status of a Connector or
// of a ConnectorClass.
type ConditionType string

// ConditionReason is the reason of a condition. Programs may match on it.
type ConditionReason string

const (
	// ConditionReady sums the others up: True only if all of them are; else it
	// carries the reason and message of the first that is not. It is the one
	// condition of a ConnectorClass, too.
	// Reasons: Ready, or those of the others; of a class: Ready; InvalidSpec,
	// Unsupported.
	ConditionReady ConditionType = "Ready"

	// ConditionConnectorClassReady says whether the class can be used, and whether
	// the Connector is what the class asks for.
	// Reasons: Resolved; ConnectorClassNotFound, ConnectorClassNotReady,
	// ParamsInvalid.
	ConditionConnectorClassReady ConditionType = "ConnectorClassReady"

	// ConditionSecretReady says whether the Secret holds what it must.
	// Reasons: Resolved, SecretOptional; SecretNotFound, SecretTypeMismatch,
	// SecretKeyMissing, TokenExpired.
	ConditionSecretReady ConditionType = "SecretReady"

	// ConditionCACertReady says whether the certificates could be read. It is
	// informational and not a part of Ready: a target with a public certificate
	// works without.
	// Reasons: Valid, NoCACert; SecretNotFound, InvalidPEM.
	ConditionCACertReady ConditionType = "CACertReady"

	// ConditionTokenExpiryReady says whether the token goes on for a while. It is
	// informational and not a part of Ready: a token that ends soon works until
	// then.
	// Reasons: NotExpiring, NoExpiry; Expiring, TokenExpired; Probing (Unknown:
	// the Secret is not ready).
	ConditionTokenExpiryReady ConditionType = "TokenExpiryReady" //nolint:gosec // no credential

	// ConditionLivenessReady says whether the target answers.
	// Reasons: ProbeSucceeded, NonLivenessProbe; ConnectionFailed,
	// CertificateInvalid, AddressForbidden, ProbeFailed; Probing (Unknown: not asked
	// yet, or something before it is not ready).
	ConditionLivenessReady ConditionType = "LivenessReady"

	// ConditionAuthReady says whether the target accepts the token.
	// Reasons: ProbeSucceeded, NonAuthProbe; AuthenticationFailed,
	// AuthorizationFailed, ProbeFailed; Probing (Unknown: not asked yet, or
	// something before it is not ready).
	ConditionAuthReady ConditionType = "AuthReady"

	// ConditionProxyServiceReady says how Pods reach the target.
	// Reasons: Ambassador (by the sidecar in their own Pod), NonProxy (not at all);
	// ConfigMapConflict, ProxyServiceNotFound; Probing (Unknown: something before it is not ready).
	ConditionProxyServiceReady ConditionType = "ProxyServiceReady"
)

// Reasons of conditions. Each condition's comment lists which it uses.
const (
	// ReasonReady: everything a Pod needs is there.
	ReasonReady ConditionReason = "Ready"
	// ReasonResolved: what is referred to exists and fits.
	ReasonResolved ConditionReason = "Resolved"
	// ReasonConnectorClassNotFound: there is no class of that name.
	ReasonConnectorClassNotFound ConditionReason = "ConnectorClassNotFound"
	// ReasonConnectorClassNotReady: the class does not offer what the Connector
	// asks for.
	ReasonConnectorClassNotReady ConditionReason = "ConnectorClassNotReady"
	// ReasonParamsInvalid: a parameter or an additional address that the class asks
	// for is missing, or one is given that the class does not know.
	ReasonParamsInvalid ConditionReason = "ParamsInvalid"
	// ReasonSecretOptional: no Secret is named and the class needs none.
	ReasonSecretOptional ConditionReason = "SecretOptional"
	// ReasonSecretNotFound: the Secret does not exist.
	ReasonSecretNotFound ConditionReason = "SecretNotFound"
	// ReasonSecretTypeMismatch: the Secret is of another type than the class
	// wants.
	ReasonSecretTypeMismatch ConditionReason = "SecretTypeMismatch"
	// ReasonSecretKeyMissing: the Secret lacks a key, or its value cannot be a
	// token.
	ReasonSecretKeyMissing ConditionReason = "SecretKeyMissing"
	// ReasonTokenExpired: the token says itself that it has ended.
	ReasonTokenExpired ConditionReason = "TokenExpired"
	// ReasonNotExpiring: the token ends, but not soon.
	ReasonNotExpiring ConditionReason = "NotExpiring"
	// ReasonNoExpiry: there is no token, or it does not say when it ends.
	ReasonNoExpiry ConditionReason = "NoExpiry"
	// ReasonExpiring: the token ends soon.
	ReasonExpiring ConditionReason = "Expiring"
	// ReasonValid: the certificates were read.
	ReasonValid ConditionReason = "Valid"
	// ReasonNoCACert: no certificates are named; the system's roots are used.
	ReasonNoCACert ConditionReason = "NoCACert"
	// ReasonInvalidPEM: there is something that is not a certificate in PEM.
	ReasonInvalidPEM ConditionReason = "InvalidPEM"
	// ReasonProbeSucceeded: the target was asked and answered well.
	ReasonProbeSucceeded ConditionReason = "ProbeSucceeded"
	// ReasonConnectionFailed: no connection to the target came about.
	ReasonConnectionFailed ConditionReason = "ConnectionFailed"
	// ReasonCertificateInvalid: the target's certificate is not trusted or not
	// for this host.
	ReasonCertificateInvalid ConditionReason = "CertificateInvalid"
	// ReasonNonLivenessProbe: the class has no liveness probe.
	ReasonNonLivenessProbe ConditionReason = "NonLivenessProbe"
	// ReasonAddressForbidden: the address is one that Connectors must not have,
	// such as that of a cloud's metadata service.
	ReasonAddressForbidden ConditionReason = "AddressForbidden"
	// ReasonProbeFailed: the target answered otherwise than the class expects, or
	// could not be asked at all.
	ReasonProbeFailed ConditionReason = "ProbeFailed"
	// ReasonProbing: not known yet.
	ReasonProbing ConditionReason = "Probing"
	// ReasonNonAuthProbe: there is nothing to authenticate with, or the class has
	// no probe for it.
	ReasonNonAuthProbe ConditionReason = "NonAuthProbe"
	// ReasonAuthenticationFailed: the target does not accept the token (401).
	ReasonAuthenticationFailed ConditionReason = "AuthenticationFailed"
	// ReasonAuthorizationFailed: the target knows the token and refuses it (403).
	ReasonAuthorizationFailed ConditionReason = "AuthorizationFailed"
	// ReasonAmbassador: Pods reach the target through the sidecar in them.
	ReasonAmbassador ConditionReason = "Ambassador"
	// ReasonNonProxy: the sidecar cannot serve the Connector, because what
	// authenticates is no bearer token.
	ReasonNonProxy ConditionReason = "NonProxy"
	// ReasonConfigMapConflict: the name of the ConfigMap that carries the address
	// and the certificates to the sidecars is taken by somebody else.
	ReasonConfigMapConflict ConditionReason = "ConfigMapConflict"
	// ReasonProxyServiceNotFound: what the proxy needs could not be made.
	ReasonProxyServiceNotFound ConditionReason = "ProxyServiceNotFound"
	// ReasonInvalidSpec: something in the spec of a ConnectorClass is wrong.
	ReasonInvalidSpec ConditionReason = "InvalidSpec"
	// ReasonUnsupported: a ConnectorClass asks for something that this version
	// cannot do.
	ReasonUnsupported ConditionReason = "Unsupported"
)
