package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// TestRotation: a running Pod goes on when the token in the Secret is replaced
// and the old one ends, without a restart.
func TestRotation(t *testing.T) {
	namespace := newNamespace(t)
	first, second := newIdentity(t, target, "view"), newIdentity(t, target, "view")
	old, revoke := first.revocable(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, old)
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	whoami := func() string {
		output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
		require.NoError(t, err, output)
		return output
	}
	require.Contains(t, whoami(), first.account.Namespace)

	var secret corev1.Secret
	require.NoError(t, home.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "k8s-secret"}, &secret))
	secret.Data[connector.SecretKeyToken] = []byte(second.token(t))
	require.NoError(t, home.Update(t.Context(), &secret))
	// Every call on the way works: the old token is valid until the new one has
	// arrived.
	eventually(t, func() bool { return strings.Contains(whoami(), second.account.Namespace) },
		"the new token does not reach the Pod")
	revoke()
	require.Contains(t, whoami(), second.account.Namespace)

	pod = awaitPod(t, pod, "running", running)
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		assert.Zero(t, status.RestartCount, "container %s restarted", status.Name)
	}
}
