package controller_test

import (
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestReady(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready,
		isTrue(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonResolved),
		isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonResolved),
		isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonValid),
		isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeSucceeded),
		isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeSucceeded),
		isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonAmbassador),
	)
}

// Each case breaks one thing of a Connector that would be Ready.
func TestConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*fixture)
		wants  []want
	}{
		"no auth name, one type": {
			func(f *fixture) { f.connector.Spec.Auth.Name = "" },
			[]want{ready},
		},
		"class does not exist": {
			func(f *fixture) { f.connector.Spec.ConnectorClassName = "nowhere" },
			[]want{
				isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonConnectorClassNotFound,
					`ConnectorClass "nowhere" does not exist; create it or correct spec.connectorClassName`),
				isUnknown(v1alpha1.ConditionSecretReady, "waits for the ConnectorClass"),
				isUnknown(v1alpha1.ConditionLivenessReady, "waits for the ConnectorClass"),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the ConnectorClass"),
				isUnknown(v1alpha1.ConditionProxyServiceReady, "waits for the ConnectorClass"),
				isUnknown(v1alpha1.ConditionTokenExpiryReady, "waits for the Secret"),
			},
		},
		"class does not offer it": {
			func(f *fixture) { f.connector.Spec.Auth.Name = "password" },
			[]want{isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonConnectorClassNotReady,
				`ConnectorClass "k8s" does not offer spec.auth.name "password"; it offers bearerTokenAuth`)},
		},
		"class offers several": {
			func(f *fixture) {
				f.class("two", v1alpha1.AuthType{Name: "a", SecretType: connector.SecretTypeBearerToken}, v1alpha1.AuthType{Name: "b", SecretType: "x"})
				f.connector.Spec.Auth.Name = ""
			},
			[]want{isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonConnectorClassNotReady, `offers a, b; name one of them in spec.auth.name`)},
		},
		"class offers several, one is named": {
			func(f *fixture) {
				f.class("two", v1alpha1.AuthType{Name: "a", SecretType: "x"}, v1alpha1.AuthType{Name: "b", SecretType: connector.SecretTypeBearerToken})
				f.connector.Spec.Auth.Name = "b"
			},
			[]want{ready},
		},
		"class wants Secrets without a bearer token": {
			func(f *fixture) {
				f.class("odd", v1alpha1.AuthType{Name: "bearerTokenAuth", SecretType: "kubernetes.io/basic-auth"})
			},
			[]want{isTrue(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonResolved)},
		},
		"class offers no authentication, one is asked for": {
			func(f *fixture) { f.class("none") },
			[]want{isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonConnectorClassNotReady, `offers no authentication; remove spec.auth.name "bearerTokenAuth"`)},
		},
		"class without authentication": {
			func(f *fixture) {
				f.class("none")
				f.pointAt(target(f.t, healthy))
				f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: f.secret.Name}
				f.connector.Spec.Auth = nil
			},
			[]want{
				ready,
				isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonSecretOptional),
				isTrue(v1alpha1.ConditionTokenExpiryReady, v1alpha1.ReasonNoExpiry),
				isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonNonAuthProbe),
				isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy),
			},
		},
		"optional Secret left out": {
			func(f *fixture) {
				f.class("optional", v1alpha1.AuthType{Name: "a", SecretType: connector.SecretTypeBearerToken, Optional: true})
				f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: f.secret.Name}
				f.connector.Spec.Auth = nil
			},
			[]want{ready, isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonSecretOptional)},
		},
		"no Secret is named": {
			func(f *fixture) { f.connector.Spec.Auth = nil },
			[]want{
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound,
					"no Secret is named; name one in spec.auth.secretRef.name, and create it with type connectors.cpaas.io/bearer-token and key token"),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the Secret"),
			},
		},
		"Secret does not exist": {
			func(f *fixture) { f.connector.Spec.Auth.SecretRef.Name = "other" },
			[]want{
				isFalse(v1alpha1.ConditionSecretReady, v1alpha1.ReasonSecretNotFound,
					`Secret "other" does not exist in namespace "NAMESPACE"; create it with type connectors.cpaas.io/bearer-token and key token`),
				isUnknown(v1alpha1.ConditionLivenessReady, "waits for the Secret, because the certificate of the cluster is not trusted without it"),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the Secret"),
			},
		},
		"Secret of another namespace": {
			func(f *fixture) { f.connector.Spec.Auth.SecretRef.Namespace = "elsewhere" },
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound,
				`spec.auth.secretRef names namespace "elsewhere"; a Secret can only be used from its own namespace, "NAMESPACE" here`)},
		},
		"Secret of this namespace, said so": {
			func(f *fixture) { f.connector.Spec.Auth.SecretRef.Namespace = f.namespace },
			[]want{ready},
		},
		"Secret has another type": {
			func(f *fixture) { f.secret.Type = corev1.SecretTypeOpaque },
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretTypeMismatch,
				`Secret "k8s-secret" has type Opaque; make it anew with type connectors.cpaas.io/bearer-token`)},
		},
		"ServiceAccount token": {
			func(f *fixture) {
				f.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "robot"}})
				f.secret.Type = corev1.SecretTypeServiceAccountToken
				f.secret.Annotations = map[string]string{corev1.ServiceAccountNameKey: "robot"}
			},
			[]want{ready},
		},
		"any type will do": {
			func(f *fixture) { f.class("any", v1alpha1.AuthType{Name: "a"}) },
			[]want{ready, isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonAmbassador)},
		},
		"any type will do, and it is one without a token": {
			func(f *fixture) {
				f.class("any", v1alpha1.AuthType{Name: "a", Params: []v1alpha1.ParamSpec{{Name: "token"}}})
				f.secret.Type = corev1.SecretTypeOpaque
			},
			[]want{
				isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonResolved),
				isTrue(v1alpha1.ConditionTokenExpiryReady, v1alpha1.ReasonNoExpiry),
				isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy),
			},
		},
		"any type will do, but there is no Secret": {
			func(f *fixture) {
				f.class("any", v1alpha1.AuthType{Name: "a"})
				f.connector.Spec.Auth.SecretRef.Name = "other"
			},
			[]want{
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, `Secret "other" does not exist in namespace "NAMESPACE"; create it`),
				isUnknown(v1alpha1.ConditionProxyServiceReady, "waits for the Secret"),
			},
		},
		"a class of its own kind wants keys": {
			func(f *fixture) {
				f.class("keys", v1alpha1.AuthType{Name: "a", SecretType: "Opaque", Params: []v1alpha1.ParamSpec{{Name: "user"}, {Name: "realm"}}})
				f.secret.Type, f.secret.Data["user"] = corev1.SecretTypeOpaque, []byte("jane")
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `Secret "k8s-secret" has no key "realm"; put the value there`)},
		},
		"user and password": {
			func(f *fixture) {
				f.class("basic", v1alpha1.AuthType{Name: "a", SecretType: "kubernetes.io/basic-auth"})
				f.secret.Type = corev1.SecretTypeBasicAuth
				f.secret.Data["username"], f.secret.Data["password"] = []byte("jane"), []byte(f.secretive("the-password-0815-0815"))
			},
			[]want{
				isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonResolved),
				isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy),
			},
		},
		"no password": {
			func(f *fixture) {
				f.class("basic", v1alpha1.AuthType{Name: "a", SecretType: "kubernetes.io/basic-auth"})
				f.secret.Type, f.secret.Data["username"] = corev1.SecretTypeBasicAuth, []byte("jane")
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `Secret "k8s-secret" has no key "password"`)},
		},
		"empty password": {
			func(f *fixture) {
				f.class("basic", v1alpha1.AuthType{Name: "a", SecretType: "kubernetes.io/basic-auth"})
				f.secret.Type, f.secret.Data["username"], f.secret.Data["password"] = corev1.SecretTypeBasicAuth, []byte("jane"), nil
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `key "password" of Secret "k8s-secret" is empty`)},
		},
		"SSH without a key": {
			func(f *fixture) {
				f.class("ssh", v1alpha1.AuthType{Name: "a", SecretType: "kubernetes.io/ssh-auth"})
				f.connector.Spec.Auth.SecretRef.Name = "other"
			},
			[]want{
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, `create it with type kubernetes.io/ssh-auth and key ssh-privatekey`),
				isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy),
			},
		},
		"a generator makes what authenticates": {
			func(f *fixture) {
				f.class("rego", v1alpha1.AuthType{Name: "a", SecretType: connector.SecretTypeBearerToken, Generator: &v1alpha1.AuthGenerator{Rego: "x"}})
			},
			[]want{isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy)},
		},
		"no token": {
			func(f *fixture) { delete(f.secret.Data, connector.SecretKeyToken) },
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `Secret "k8s-secret" has no key "token"; put the token there`)},
		},
		"empty token": {
			func(f *fixture) { f.secret.Data[connector.SecretKeyToken] = []byte("\n") },
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `key "token" of Secret "k8s-secret" is not a token: it is empty`)},
		},
		"token with illegal bytes": {
			func(f *fixture) {
				f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("illegal-token-\x01"))
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, `it has characters that are not printable ASCII`)},
		},
		"CA Secret does not exist": {
			func(f *fixture) { f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "ca"} },
			[]want{
				ready, // informational: the ca.crt beside the token will do
				isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonSecretNotFound,
					`Secret "ca" does not exist in namespace "NAMESPACE"; create it with the CA under key ca.crt`),
			},
		},
		"CA Secret of another namespace": {
			func(f *fixture) {
				f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "ca", Namespace: "elsewhere"}
			},
			[]want{ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonSecretNotFound, `spec.caCertSecretRef names namespace "elsewhere"`)},
		},
		"CA Secret without a name": {
			func(f *fixture) { f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{} },
			[]want{ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonSecretNotFound, `spec.caCertSecretRef has no name`)},
		},
		"CA Secret without a certificate": {
			func(f *fixture) { f.caSecret(map[string]string{"ca": "x"}) },
			[]want{ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonInvalidPEM, `Secret "k8s-ca" has no key ca.crt, *.crt or *.pem`)},
		},
		"CA that is none": {
			func(f *fixture) {
				f.caSecret(map[string]string{"a.pem": "hello", "ca.crt": string(eager.config.CAData)})
			},
			[]want{ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonInvalidPEM,
				`key "a.pem" of Secret "k8s-ca": there is no certificate in PEM in it; put only certificates in PEM there`)},
		},
		"CA in a Secret of its own": {
			func(f *fixture) {
				delete(f.secret.Data, connector.SecretKeyCA)
				f.caSecret(map[string]string{"cluster.pem": string(eager.config.CAData)})
			},
			[]want{ready, isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonValid)},
		},
		"bad CA beside the token": {
			func(f *fixture) { f.secret.Data[connector.SecretKeyCA] = []byte("-----BEGIN CERTIFICATE-----\n") },
			[]want{
				isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonInvalidPEM, `key "ca.crt" of Secret "k8s-secret": a certificate in it cannot be read`),
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid,
					`the certificate of the cluster is not trusted: key "ca.crt" of Secret "k8s-secret": a certificate in it cannot be read`),
			},
		},
		"CA Secret does not exist, and it is needed": {
			func(f *fixture) {
				delete(f.secret.Data, connector.SecretKeyCA)
				f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "ca"}
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid,
				`the certificate of the cluster is not trusted: Secret "ca" does not exist in namespace "NAMESPACE"; create it with the CA under key ca.crt`)},
		},
		"no CA": {
			func(f *fixture) { delete(f.secret.Data, connector.SecretKeyCA) },
			[]want{
				isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonNoCACert),
				isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonCertificateInvalid,
					`is unknown; put that CA into a Secret named by spec.caCertSecretRef, or under ca.crt beside the token`),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the cluster to answer"),
			},
		},
		"nobody listens": {
			func(f *fixture) {
				server := target(f.t, healthy)
				f.pointAt(server)
				server.Close()
			},
			[]want{
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectionFailed, `connection refused; check host and port of spec.address`),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the cluster to answer"),
			},
		},
		"server in trouble": {
			func(f *fixture) {
				f.pointAt(target(f.t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
			},
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonProbeFailed, `503 Service Unavailable`)},
		},
		"server in trouble from the second call on": {
			func(f *fixture) { f.pointAt(target(f.t, answers(http.StatusInternalServerError))) },
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeFailed, `500 Internal Server Error`)},
		},
		"token refused": {
			func(f *fixture) {
				f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("eyJ-no-such-token-0123456789"))
			},
			[]want{
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeSucceeded),
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAuthenticationFailed,
					`the cluster refuses the token in Secret "k8s-secret" (401 Unauthorized); put a valid token under its key "token"`),
			},
		},
		"user forbidden": {
			func(f *fixture) { f.pointAt(target(f.t, answers(http.StatusForbidden))) },
			[]want{isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAuthorizationFailed, `(403 Forbidden)`)},
		},
		"not an API server": {
			func(f *fixture) { f.pointAt(target(f.t, answers(http.StatusOK))) },
			[]want{isFalse(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeFailed, `answers otherwise than the class expects (200 OK); check host, port and path of spec.address`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			tc.change(f)
			f.create(f.secret, f.connector)
			f.await(later, tc.wants...)
		})
	}
}

// class makes a class of its own for the fixture's Connector.
func (f *fixture) class(name string, types ...v1alpha1.AuthType) {
	f.t.Helper()
	class := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace + "-" + name},
		Spec:       v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: types}},
	}
	f.create(class)
	f.connector.Spec.ConnectorClassName = class.Name
	if len(types) == 1 {
		f.connector.Spec.Auth.Name = types[0].Name
	}
}

// caSecret makes the Secret k8s-ca and lets the Connector name it.
func (f *fixture) caSecret(data map[string]string) *corev1.Secret {
	f.t.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "k8s-ca"},
		StringData: data,
	}
	f.create(secret)
	f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: secret.Name}
	return secret
}
