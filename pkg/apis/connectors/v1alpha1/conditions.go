package v1alpha1

// ConditionType is the type of a condition in the status of a Connector.
type ConditionType string

// ConditionReason is the reason of a condition. Programs may match on it.
type ConditionReason string

const (
	// ConditionReady sums the others up: True only if all of them are; else it
	// carries the reason and message of the first that is not.
	ConditionReady ConditionType = "Ready"

	// ConditionConnectorClassReady says whether the class can be used.
	// Reasons: Resolved; ConnectorClassNotFound, ConnectorClassNotReady.
	ConditionConnectorClassReady ConditionType = "ConnectorClassReady"

	// ConditionSecretReady says whether the Secret holds what it must.
	// Reasons: Resolved, SecretOptional; SecretNotFound, SecretTypeMismatch,
	// SecretKeyMissing.
	ConditionSecretReady ConditionType = "SecretReady"

	// ConditionCACertReady says whether the certificates could be read. It is
	// informational and not a part of Ready: a target with a public certificate
	// works without.
	// Reasons: Valid, NoCACert; SecretNotFound, InvalidPEM.
	ConditionCACertReady ConditionType = "CACertReady"

	// ConditionLivenessReady says whether the target answers.
	// Reasons: ProbeSucceeded; ConnectionFailed, CertificateInvalid, ProbeFailed;
	// Probing (Unknown: not asked yet, or something before it is not ready).
	ConditionLivenessReady ConditionType = "LivenessReady"

	// ConditionAuthReady says whether the target accepts the token.
	// Reasons: ProbeSucceeded, NonAuthProbe; AuthenticationFailed,
	// AuthorizationFailed, ProbeFailed; Probing (Unknown: not asked yet, or
	// something before it is not ready).
	ConditionAuthReady ConditionType = "AuthReady"

	// ConditionProxyServiceReady says how Pods reach the target.
	// Reasons: Ambassador (by the sidecar in their own Pod); ConfigMapConflict,
	// ProxyServiceNotFound; Probing (Unknown: something before it is not ready).
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
	// ReasonProbeFailed: the target answered with an error of its own, or not as
	// an API server does, or could not be asked at all.
	ReasonProbeFailed ConditionReason = "ProbeFailed"
	// ReasonProbing: not known yet.
	ReasonProbing ConditionReason = "Probing"
	// ReasonNonAuthProbe: the Connector needs no authentication.
	ReasonNonAuthProbe ConditionReason = "NonAuthProbe"
	// ReasonAuthenticationFailed: the target does not accept the token (401).
	ReasonAuthenticationFailed ConditionReason = "AuthenticationFailed"
	// ReasonAuthorizationFailed: the target knows the token and refuses it (403).
	ReasonAuthorizationFailed ConditionReason = "AuthorizationFailed"
	// ReasonAmbassador: Pods reach the target through the sidecar in them.
	ReasonAmbassador ConditionReason = "Ambassador"
	// ReasonConfigMapConflict: the name of the ConfigMap that carries the address
	// and the certificates to the sidecars is taken by somebody else.
	ReasonConfigMapConflict ConditionReason = "ConfigMapConflict"
	// ReasonProxyServiceNotFound: what the proxy needs could not be made.
	ReasonProxyServiceNotFound ConditionReason = "ProxyServiceNotFound"
)
