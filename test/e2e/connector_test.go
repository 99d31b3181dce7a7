package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// TestConnectorSaysWhatIsWrong: each mistake has a reason of its own and a
// message that says what to change, and is forgotten once it is mended.
func TestConnectorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	good := newIdentity(t, target, "view").Token(t)
	c := makeConnector(t, namespace, clusters.Target.Address, clusters.Target.CA)

	missing := awaitReady(t, c, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	assert.Contains(t, missing.Message, "k8s-secret")

	secret := tokenSecret(namespace, "not-a-token-of-the-target")
	create(t, home, secret)
	wrong := awaitReady(t, c, metav1.ConditionFalse, v1alpha1.ReasonAuthenticationFailed)
	assert.Contains(t, wrong.Message, "k8s-secret")
	assert.NotContains(t, wrong.Message, "not-a-token-of-the-target")

	secret.StringData = map[string]string{connector.SecretKeyToken: good}
	require.NoError(t, home.Update(t.Context(), secret))
	awaitReady(t, c, metav1.ConditionTrue, v1alpha1.ReasonReady)

	var ca corev1.Secret
	require.NoError(t, home.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "k8s-ca"}, &ca))
	ca.Data[connector.SecretKeyCA] = clusters.Home.CA
	require.NoError(t, home.Update(t.Context(), &ca))
	untrusted := awaitReady(t, c, metav1.ConditionFalse, v1alpha1.ReasonCertificateInvalid)
	assert.Contains(t, untrusted.Message, "caCertSecretRef")
}
