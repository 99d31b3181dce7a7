package e2e

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watchDeleted watches the Pods of a namespace. What it returns waits for one to
// be gone, not longer than so, and returns it as it was at last.
func watchDeleted(t *testing.T, namespace string) (gone func(name string, bound time.Duration) *corev1.Pod) {
	t.Helper()
	w, err := home.Watch(t.Context(), &corev1.PodList{}, client.InNamespace(namespace))
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	deleted := map[string]*corev1.Pod{}
	return func(name string, bound time.Duration) *corev1.Pod {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		for deleted[name] == nil {
			select {
			case event, ok := <-w.ResultChan():
				require.True(t, ok, "the watch of Pods has ended")
				if pod, ok := event.Object.(*corev1.Pod); ok && event.Type == apiwatch.Deleted {
					deleted[pod.Name] = pod
				}
			case <-ctx.Done():
				require.Fail(t, "a Pod stays", "%s is not gone; gone are %v", name, slices.Collect(maps.Keys(deleted)))
			}
		}
		return deleted[name]
	}
}

// worksToTheEnd is an app that uses another cluster until it has ended: it has a
// watch open all the time, and when it is told to end, it says so there, waits
// until that comes back over the watch, and says that, too. Were the watch to
// break, it would wait until it is killed.
const worksToTheEnd = `
say() { kubectl -n $THERE annotate configmap $(hostname) $1=yes || exit 1; }
end() { say told; until grep -q told /tmp/seen; do sleep 0.1; done; say seen; exit 0; }
trap end TERM
kubectl -n $THERE create configmap $(hostname) || exit 1
kubectl get --raw "/api/v1/namespaces/$THERE/configmaps?watch=true&fieldSelector=metadata.name=$(hostname)" >/tmp/seen &
while true; do sleep 1 & wait $!; done
`

// TestDeploymentEndsCleanly: in a rolling update and in an eviction, an app can
// use the other cluster in its preStop hook and while it handles SIGTERM, streams
// that are open included. The sidecar ends after it, with 0, and nobody is killed.
func TestDeploymentEndsCleanly(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	there := newIdentity(t, target, "edit")
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, there.Token(t))
	pod := sleeper(namespace)
	pod.Spec.TerminationGracePeriodSeconds = new(int64(60))
	app := &pod.Spec.Containers[0]
	app.Command = []string{"sh", "-c", worksToTheEnd}
	app.Env = []corev1.EnvVar{{Name: "THERE", Value: there.Account.Namespace}}
	app.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
		Command: []string{"sh", "-c", "kubectl -n $THERE annotate configmap $(hostname) hook=yes"},
	}}}
	// What is there comes first over a watch, so that then it is open.
	app.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{
		Command: []string{"grep", "-q", "ADDED", "/tmp/seen"},
	}}}
	labels := map[string]string{"app": "worker"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: asks()}, Spec: pod.Spec},
		},
	}
	gone := watchDeleted(t, namespace)
	create(t, home, deployment)
	current := func() (name string) {
		eventually(t, func() bool {
			pods := slices.DeleteFunc(podsOf(t, namespace, labels), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
			if len(pods) != 1 || !running(&pods[0]) {
				return false
			}
			name = pods[0].Name
			return true
		}, "there is not one Pod that is ready")
		return name
	}
	endedCleanly := func(t *testing.T, name string) {
		t.Helper()
		last := gone(name, patience)
		var said corev1.ConfigMap
		require.NoError(t, target.Get(t.Context(), types.NamespacedName{Namespace: there.Account.Namespace, Name: name}, &said))
		assert.Equal(t, map[string]string{"hook": "yes", "told": "yes", "seen": "yes"}, said.Annotations, "what the app could do at its end")
		assert.Zero(t, exitCode(t, last, "app"), "it could not say so, or was killed at the end of the grace period")
		assert.Zero(t, exitCode(t, last, "connector-proxy"))
		app, sidecar := last.Status.ContainerStatuses[0].State.Terminated, last.Status.InitContainerStatuses[0].State.Terminated
		assert.False(t, sidecar.FinishedAt.Before(&app.FinishedAt), "the sidecar ended at %s, the app at %s", sidecar.FinishedAt, app.FinishedAt)
	}

	name := current()
	t.Run("rolling update", func(t *testing.T) {
		update := `{"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`
		require.NoError(t, home.Patch(t.Context(), deployment, client.RawPatch(types.MergePatchType, []byte(update))))
		endedCleanly(t, name)
	})
	name = current()
	t.Run("drain", func(t *testing.T) {
		// Not for real: it is the node of all tests. Each Pod is asked for by the
		// eviction API all the same.
		var node corev1.NodeList
		require.NoError(t, home.List(t.Context(), &node))
		require.Len(t, node.Items, 1)
		drain := []string{"drain", node.Items[0].Name, "--dry-run=server", "--pod-selector=app=worker"}
		output, err := tryKubectl(t.Context(), "", drain...)
		require.Error(t, err)
		assert.Contains(t, output, "cannot delete Pods with local storage (use --delete-emptydir-data to override)")
		assert.Contains(t, mustKubectl(t, "", append(drain, "--delete-emptydir-data")...), "evicting pod "+namespace+"/"+name)
	})
	t.Run("eviction", func(t *testing.T) {
		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		require.NoError(t, homeSet.PolicyV1().Evictions(namespace).Evict(t.Context(), eviction))
		endedCleanly(t, name)
	})
}
