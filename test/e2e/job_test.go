package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// TestJobUsesAnotherCluster is what the product is for: a Job lists the Pods of
// another cluster with a plain kubectl, in an init container and in its
// container, and never holds the token.
func TestJobUsesAnotherCluster(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	pipeline := newIdentity(t, target, "view")
	token := pipeline.Token(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, token)

	// The target has no node, so its Pod stays Pending; what counts is that it
	// is listed here.
	there := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "only-in-the-target", Namespace: pipeline.Account.Namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}},
	}
	create(t, target, there)

	list := corev1.Container{
		Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
		Command: []string{"kubectl", "get", "pods", "-A"},
	}
	before, main := list, list
	before.Name, main.Name = "before", "main"
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "list", Namespace: namespace},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: asks()},
				Spec: corev1.PodSpec{
					RestartPolicy:  corev1.RestartPolicyNever,
					InitContainers: []corev1.Container{before},
					Containers:     []corev1.Container{main},
				},
			},
		},
	}
	create(t, home, job)
	awaitJob(t, job, batchv1.JobComplete)

	var pods corev1.PodList
	require.NoError(t, home.List(t.Context(), &pods, client.InNamespace(namespace)))
	require.Len(t, pods.Items, 1, "the Job succeeds with its first Pod")
	pod := &pods.Items[0]
	for _, container := range []string{"before", "main"} {
		assert.Contains(t, logs(t, pod, container), there.Name, "container %s", container)
	}

	sidecar := pod.Spec.InitContainers[0]
	assert.Equal(t, "connector-proxy", sidecar.Name, "the sidecar stands first")
	assert.Equal(t, corev1.ContainerRestartPolicyAlways, *sidecar.RestartPolicy)
	assert.Equal(t, []string{"/sidecar", "wait"}, sidecar.Lifecycle.PostStart.Exec.Command)
	raw, err := json.Marshal(pod)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), token, "the Pod object holds the token")
	assert.NotContains(t, logs(t, pod, "connector-proxy"), token, "the sidecar logged the token")
	terminated := pod.Status.InitContainerStatuses[0].State.Terminated
	require.NotNil(t, terminated, "the sidecar ends with the Job")
	assert.Zero(t, terminated.ExitCode, "the sidecar's exit code")
}

// TestFailingJobKeepsItsExitCode: the sidecar neither hides nor changes how the
// app ended.
func TestFailingJobKeepsItsExitCode(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "fail", Namespace: namespace},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: asks()},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever,
					Containers: []corev1.Container{{
						Name: "main", Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
						Command: []string{"sh", "-c", "kubectl create namespace not-allowed || exit 42"},
					}},
				},
			},
		},
	}
	create(t, home, job)
	awaitJob(t, job, batchv1.JobFailed)

	var pods corev1.PodList
	require.NoError(t, home.List(t.Context(), &pods, client.InNamespace(namespace)))
	require.Len(t, pods.Items, 1)
	pod := awaitPod(t, &pods.Items[0], "finished", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	assert.EqualValues(t, 42, pod.Status.ContainerStatuses[0].State.Terminated.ExitCode)
	assert.Contains(t, logs(t, pod, "main"), "Forbidden", "the target's RBAC speaks, through the sidecar")
}

func awaitJob(t *testing.T, job *batchv1.Job, condition batchv1.JobConditionType) {
	t.Helper()
	now := &batchv1.Job{}
	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(job), now))
		for _, c := range now.Status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	}, "the Job is not %s; its status is %+v", condition, &now.Status)
}
