package controller_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// The controller of these tests looks at a Connector only when something
// changes, so each step that passes shows that the change is seen.

func TestTokenRefusedThenMended(t *testing.T) {
	f := newFixture(t, patient)
	good := f.secret.Data[connector.SecretKeyToken]
	f.create(f.secret, f.connector)
	f.await(soon, ready)

	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("a-revoked-token-4711")) })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAuthenticationFailed, "401"))

	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = good })
	f.await(soon, ready)

	f.update(f.secret, func() { delete(f.secret.Data, connector.SecretKeyToken) })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretKeyMissing, ""))
}

func TestSecretComesAndGoes(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, "does not exist"))
	f.create(f.secret)
	f.await(soon, ready)
	f.remove(f.secret)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, "does not exist"),
		isUnknown(v1alpha1.ConditionAuthReady, "waits for the Secret"))
}

func TestClassComesAndGoes(t *testing.T) {
	f := newFixture(t, patient)
	f.connector.Spec.ConnectorClassName = f.namespace
	f.create(f.secret, f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotFound, "does not exist"))

	class := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
		Spec: v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{
			{Name: "bearerTokenAuth", SecretType: connector.SecretTypeBearerToken},
		}}},
	}
	f.create(class)
	f.await(soon, ready)
	f.update(class, func() { class.Spec.Auth.Types[0].Name = "other" })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotReady, "it offers other"))
	f.remove(class)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotFound, ""))
}

func TestCAMended(t *testing.T) {
	f := newFixture(t, patient)
	delete(f.secret.Data, connector.SecretKeyCA)
	ca := f.caSecret(map[string]string{"ca.crt": string(caOf(target(t, healthy)))}) // another server's
	f.create(f.secret, f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, "is unknown"),
		isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonValid))

	f.update(ca, func() { ca.Data["ca.crt"] = eager.config.CAData })
	f.await(soon, ready)
	f.remove(ca)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""),
		isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonSecretNotFound, ""))
}

func TestGlobalCA(t *testing.T) {
	f := newFixture(t, patient)
	server := target(t, healthy)
	f.pointAt(server)
	delete(f.secret.Data, connector.SecretKeyCA)
	f.create(f.secret, f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))

	global := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, GenerateName: "ca-", Labels: map[string]string{connector.LabelCACert: "true"}},
		Data:       map[string][]byte{"company.crt": caOf(server)},
	}
	f.create(global)
	t.Cleanup(func() { require.NoError(t, client.IgnoreNotFound(f.admin.Delete(context.Background(), global))) })
	f.await(soon, ready, isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonValid))
	require.Equal(t, string(caOf(server)), f.configMap(t).Data[v1alpha1.ConnectionKeyCA])

	f.update(global, func() { global.Labels = nil })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
	require.NotContains(t, f.configMap(t).Data, v1alpha1.ConnectionKeyCA)

	f.update(global, func() {
		global.Labels = map[string]string{connector.LabelCACert: "true"}
		global.Data["broken.pem"] = []byte("-----BEGIN")
	})
	f.await(soon, ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonInvalidPEM,
		`for every Connector, in namespace "connectors-system": key "broken.pem"`))
	f.remove(global)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
}

// The label counts in the system namespace only: elsewhere it would let any team
// decide whom the others trust.
func TestGlobalCAOfAnotherNamespaceIsNone(t *testing.T) {
	f := newFixture(t, patient)
	server := target(t, healthy)
	f.pointAt(server)
	delete(f.secret.Data, connector.SecretKeyCA)
	f.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "ca", Labels: map[string]string{connector.LabelCACert: "true"}},
		Data:       map[string][]byte{"ca.crt": caOf(server)},
	}, f.secret, f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
}

func TestSpecChanges(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	before := meta.FindStatusCondition(f.read(t).Status.Conditions, string(v1alpha1.ConditionConnectorClassReady))

	other := target(t, healthy)
	f.update(f.connector, func() { f.connector.Spec.Address = other.URL + "/prefix/" })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
	require.Equal(t, other.URL+"/prefix", f.configMap(t).Data[v1alpha1.ConnectionKeyAddress])

	after := meta.FindStatusCondition(f.read(t).Status.Conditions, string(v1alpha1.ConditionConnectorClassReady))
	require.Equal(t, before.LastTransitionTime, after.LastTransitionTime, "it did not change")
	require.Greater(t, after.ObservedGeneration, before.ObservedGeneration)
}

// A target that hangs takes five seconds to fail. Until then the status says
// what is known, about the present spec, and follows other changes.
func TestHangingTargetHoldsNothingUp(t *testing.T) {
	server := target(t, hanging)
	t.Cleanup(server.CloseClientConnections)
	f := newFixture(t, patient)
	f.pointAt(server)
	f.create(f.secret, f.connector)
	f.await(soon, isUnknown(v1alpha1.ConditionReady, "waits for an answer of "+server.URL),
		isUnknown(v1alpha1.ConditionAuthReady, "waits for an answer of "+server.URL),
		isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonResolved))

	f.remove(f.secret)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	f.secret.ResourceVersion = ""
	f.create(f.secret)
	f.await(soon, isTrue(v1alpha1.ConditionSecretReady, v1alpha1.ReasonResolved))
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectionFailed, "no answer within 5s; check spec.address and firewalls"))
}

func TestManyHangingTargetsDoNotBlockOthers(t *testing.T) {
	server := target(t, hanging)
	t.Cleanup(server.CloseClientConnections)
	f := newFixture(t, patient)
	f.create(f.secret)
	for range 40 {
		slow := f.connector.DeepCopy()
		slow.Name, slow.GenerateName = "", "slow-"
		slow.Spec.Address = server.URL
		slow.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "k8s-ca"}
		f.create(slow)
	}
	f.caSecret(map[string]string{"ca.crt": string(caOf(server))})
	f.connector.Spec.CACertSecretRef = nil
	f.create(f.connector)
	f.await(4*soon, ready)
}

// Another writer's conditions stay.
func TestForeignConditionStays(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	c := f.read(t)
	c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{
		Type: "example.com/Audited", Status: metav1.ConditionTrue, Reason: "Audited", LastTransitionTime: metav1.Now(),
	})
	require.NoError(t, f.admin.Status().Update(t.Context(), c))
	require.NoError(t, f.admin.Create(t.Context(), f.secret))
	require.Eventually(t, func() bool {
		return meta.IsStatusConditionTrue(f.read(t).Status.Conditions, "Ready")
	}, soon, tick)
	require.True(t, meta.IsStatusConditionTrue(f.read(t).Status.Conditions, "example.com/Audited"))
}

// The cache holds no Secrets but the metadata of those with certificates for every
// Connector, and of them no annotations: kubectl apply leaves the data of a Secret
// in one.
func TestCacheHoldsNoSecrets(t *testing.T) {
	f := newFixture(t, patient)
	ca := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: systemNamespace, GenerateName: "ca-",
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":{"token":"c2VjcmV0"}}`},
			Labels:      map[string]string{connector.LabelCACert: "true"},
		},
		Data: map[string][]byte{connector.SecretKeyCA: eager.config.CAData},
	}
	f.create(f.secret, f.connector, ca)
	defer f.remove(ca)
	f.await(soon, ready)

	cached := &metav1.PartialObjectMetadata{}
	cached.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	require.Eventually(t, func() bool {
		return f.manager.GetCache().Get(t.Context(), client.ObjectKeyFromObject(ca), cached) == nil
	}, soon, tick)
	require.Empty(t, cached.Annotations)
	require.Empty(t, cached.ManagedFields)
	require.ErrorContains(t, f.manager.GetCache().Get(t.Context(), client.ObjectKeyFromObject(f.secret), cached), "unknown namespace")

	// Reading a Secret as such goes past the cache and starts none.
	var live corev1.Secret
	require.NoError(t, f.manager.GetClient().Get(t.Context(), client.ObjectKeyFromObject(f.secret), &live))
	require.NotEmpty(t, live.Data)
}
