package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// whoami is who the Pod is to the target, in one context.
func whoami(t *testing.T, pod *corev1.Pod, context string) string {
	t.Helper()
	output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "auth", "whoami")
	require.NoError(t, err, output)
	return output
}

// assertNoRestart: what changed has changed under the running containers.
func assertNoRestart(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	pod = awaitPod(t, pod, "running", running)
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		assert.Zero(t, status.RestartCount, "container %s restarted", status.Name)
	}
}

// watcher is a container that prints the ConfigMaps that appear in a namespace
// of the target, and ends with its watch.
func watcher(name, context, namespace string) corev1.Container {
	return corev1.Container{
		Name: name, Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
		Command: []string{"kubectl", "--context=" + context, "--namespace=" + namespace, "get", "configmaps", "--watch", "--output=name"},
	}
}

// ticking is a container that sends and receives through an exec in another Pod, and
// ends with it.
func ticking(name, context string, through *corev1.Pod) corev1.Container {
	return corev1.Container{
		Name: name, Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
		Command: []string{"sh", "-c", "while echo tick; do sleep 1; done | " +
			"kubectl --context=" + context + " --namespace=" + through.Namespace + " exec -i " + through.Name + " -- cat"},
	}
}

// TestRotation: a running Pod goes on when the token in the Secret is replaced
// and the old one ends, without a restart. So do its watches, and what it has running
// in other Pods.
func TestRotation(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	// The cluster that has a node.
	first, second := newIdentity(t, home, "edit"), newIdentity(t, home, "edit")
	old, revoke := first.Revocable(t)
	newConnector(t, namespace, clusters.Home.Address, clusters.Home.CA, old)
	pod := sleeper(namespace)
	watched, other := makeNamespace(t, home, nil), server(t)
	pod.Spec.Containers = append(pod.Spec.Containers,
		watcher("watch-proxy", "k8s", watched), watcher("watch-localhost", "k8s-localhost", watched),
		ticking("exec-proxy", "k8s", other), ticking("exec-localhost", "k8s-localhost", other))
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	seen := func(name string) {
		create(t, home, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: watched}})
		for _, container := range []string{"watch-proxy", "watch-localhost"} {
			eventually(t, func() bool { return strings.Contains(logs(t, pod, container), "configmap/"+name) },
				"%s does not see %s", container, name)
		}
		for _, container := range []string{"exec-proxy", "exec-localhost"} {
			ticks := func() int { return strings.Count(logs(t, pod, container), "tick\n") }
			so := ticks()
			eventually(t, func() bool { return ticks() > so+1 }, "%s does not go on", container)
		}
	}
	seen("before")
	for _, context := range contexts {
		require.Contains(t, whoami(t, pod, context), first.Account.Namespace)
	}

	var secret corev1.Secret
	require.NoError(t, home.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "k8s-secret"}, &secret))
	secret.Data[connector.SecretKeyToken] = []byte(second.Token(t))
	require.NoError(t, home.Update(t.Context(), &secret))
	// Every call on the way works: the old token is valid until the new one has
	// arrived.
	eventually(t, func() bool { return strings.Contains(whoami(t, pod, "k8s"), second.Account.Namespace) },
		"the new token does not reach the Pod")
	revoke()
	for _, context := range contexts {
		require.Contains(t, whoami(t, pod, context), second.Account.Namespace)
	}
	seen("after")
	assertNoRestart(t, pod)
}

// TestCAAndAddressChange: a running Pod follows a server to another CA and then
// to another address, in both contexts, without a restart.
func TestCAAndAddressChange(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	account := newIdentity(t, target, "view")
	old, ca := newGateway(t, clusters.Target, "/old")
	newConnector(t, namespace, old.address, []byte(ca), account.Token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	works := func() bool {
		for _, context := range contexts {
			output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "auth", "whoami")
			if err != nil || !strings.Contains(output, account.Account.Namespace) {
				return false
			}
		}
		return true
	}
	require.True(t, works())
	setCA := func(ca string) {
		var secret corev1.Secret
		require.NoError(t, home.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "k8s-ca"}, &secret))
		secret.Data[connector.SecretKeyCA] = []byte(ca)
		require.NoError(t, home.Update(t.Context(), &secret))
	}

	ca = old.renew(t)
	// The connection that is open would go on with the old certificate.
	old.disconnect()
	require.False(t, works(), "the CA in the Pod is not that of the new certificate")
	setCA(ca)
	eventually(t, works, "the new CA does not reach the Pod")

	next, nextCA := newGateway(t, clusters.Target, "/next/one")
	setCA(ca + nextCA)
	var c v1alpha1.Connector
	require.NoError(t, home.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "k8s-connector"}, &c))
	c.Spec.Address = next.address
	require.NoError(t, home.Update(t.Context(), &c))
	eventually(t, func() bool {
		before, there := old.served.Load(), next.served.Load()
		return works() && old.served.Load() == before && next.served.Load() > there
	}, "the new address does not reach the Pod")
	assert.Zero(t, next.outside.Load())
	assertNoRestart(t, pod)
}
