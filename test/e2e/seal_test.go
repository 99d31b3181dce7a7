package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

// TestTokenStaysWithItsAddress: a Connector that is pointed at another server,
// with another Secret, does not bring that server the token of running Pods.
func TestTokenStaysWithItsAddress(t *testing.T) {
	t.Parallel()
	namespace, trap := newNamespace(t), bed.NewTrap(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	create(t, home, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: namespace},
		Type:       connector.SecretTypeBearerToken,
		StringData: map[string]string{connector.SecretKeyToken: "a-token-of-the-other-server", connector.SecretKeyCA: trap.CA},
	})
	var c v1alpha1.Connector
	require.NoError(t, home.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "k8s-connector"}, &c))
	c.Spec.Address, c.Spec.Auth.SecretRef.Name = trap.Address, "other"
	require.NoError(t, home.Update(t.Context(), &c))
	eventually(t, func() bool {
		return strings.Contains(logs(t, pod, "connector-proxy"), "not sealed with this token")
	}, "the sidecar does not see the new ConfigMap")
	output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
	require.NoError(t, err, output)
	assert.Contains(t, output, "system:serviceaccount:", "the Pod goes on with the cluster it was started for")
	// The controller itself asks the other server, with the other token.
	assert.NotContains(t, logs(t, pod, "connector-proxy"), trap.Address)
}
