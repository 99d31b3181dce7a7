package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// newDefaultNamespace makes a namespace whose default Connector works.
func newDefaultNamespace(t *testing.T, injection string) string {
	t.Helper()
	name := makeNamespace(t, home, map[string]string{v1alpha1.LabelInjection: injection})
	newConnector(t, name, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	defaults := client.RawPatch(client.Merge.Type(), []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationConnectors+`":"k8s-connector"}}}`))
	require.NoError(t, home.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, defaults))
	return name
}

// TestEveryPodOfANamespace: where all Pods are to be injected, one that knows
// nothing of it uses the other cluster; a node's agent runs without a sidecar, as
// does a Pod that opted out.
func TestEveryPodOfANamespace(t *testing.T) {
	t.Parallel()
	namespace := newDefaultNamespace(t, v1alpha1.InjectionAlways)

	agent := sleeper(namespace)
	agent.Spec.HostNetwork = true
	labels := map[string]string{"app": "agent"}
	daemons := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: namespace},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: agent.Spec},
		},
	}
	create(t, home, daemons)
	out := sleeper(namespace)
	out.Annotations = map[string]string{v1alpha1.AnnotationInject: "false"}
	create(t, home, out)
	assert.Empty(t, out.Spec.InitContainers)

	plain := sleeper(namespace)
	plain.Annotations = nil
	create(t, home, plain)
	awaitPod(t, plain, "ready", running)
	output, err := execute(t, plain, "app", "", "kubectl", "get", "namespaces", "-o", "name")
	require.NoError(t, err, output)
	assert.Contains(t, output, "namespace/"+metav1.NamespaceSystem)

	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(daemons), daemons))
		return daemons.Status.NumberReady > 0 && daemons.Status.NumberReady == daemons.Status.DesiredNumberScheduled
	}, "the DaemonSet does not run: %+v", &daemons.Status)
	var agents corev1.PodList
	require.NoError(t, home.List(t.Context(), &agents, client.InNamespace(namespace), client.MatchingLabels(labels)))
	for i := range agents.Items {
		assert.Empty(t, agents.Items[i].Spec.InitContainers)
	}
}

// TestInjectTrue: a Pod that asks for the Connectors of its namespace, for one of
// its containers and in a place of its own, has them there and nowhere else.
func TestInjectTrue(t *testing.T) {
	t.Parallel()
	pod := sleeper(newDefaultNamespace(t, v1alpha1.InjectionEnabled))
	pod.Annotations = map[string]string{
		v1alpha1.AnnotationInject: "true", v1alpha1.AnnotationContainers: "app", v1alpha1.AnnotationMountPath: "/opt/kube",
	}
	other := pod.Spec.Containers[0]
	other.Name = "other"
	pod.Spec.Containers = append(pod.Spec.Containers, other)
	create(t, home, pod)
	awaitPod(t, pod, "ready", running)
	output, err := execute(t, pod, "app", "", "sh", "-c", `[ "$KUBECONFIG" = /opt/kube/kubeconfig ] && kubectl get namespaces -o name`)
	require.NoError(t, err, output)
	assert.Contains(t, output, "namespace/"+metav1.NamespaceSystem)
	output, err = execute(t, pod, "other", "", "sh", "-c", `[ -z "$KUBECONFIG" ] && [ ! -e /opt/kube ] && [ ! -e /var/run/connectors.alauda.io ]`)
	require.NoError(t, err, output)
}
