package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var jobKind = batchv1.SchemeGroupVersion.WithKind("Job")

func jobPods(t *testing.T, job *batchv1.Job) []corev1.Pod {
	t.Helper()
	return podsOf(t, job.Namespace, client.MatchingLabels{batchv1.JobNameLabel: job.Name})
}

// TestRunnerJob: every Pod of a Job that runs several at once has its own
// sidecar, and none of them keeps the Job from completing.
func TestRunnerJob(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	job := typed[batchv1.Job](t, "job.yaml", team.namespace)
	job.Spec.Completions, job.Spec.Parallelism = new(int32(4)), new(int32(2))
	create(t, home, job)
	awaitJob(t, job, batchv1.JobComplete)
	pods := jobPods(t, job)
	require.Len(t, pods, 4)
	for _, pod := range pods {
		assert.Contains(t, logs(t, &pod, "deploy"), team.user)
		assert.True(t, injected(&pod))
	}
	team.assertTokenNowhere(t, jobKind)
}

// TestRunnerJobBackoff: a Job tries as often as it says, and each try fails with
// its own exit code, not with the sidecar's.
func TestRunnerJobBackoff(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	job := typed[batchv1.Job](t, "job.yaml", team.namespace)
	job.Spec.Template.Spec.Containers[0].Command = []string{"sh", "-c", "env; kubectl create namespace not-allowed || exit 42"}
	create(t, home, job)
	awaitJob(t, job, batchv1.JobFailed)
	require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	assert.EqualValues(t, 2, job.Status.Failed, "the first try and backoffLimit more")
	pods := jobPods(t, job)
	require.Len(t, pods, 2)
	for _, pod := range pods {
		assert.EqualValues(t, 42, exitCode(t, &pod, "deploy"))
		assert.Zero(t, exitCode(t, &pod, "connector-proxy"))
	}
	team.assertTokenNowhere(t, jobKind)
}

// TestRunnerJobDeadline: what takes too long ends when the Job says, sidecar
// included.
func TestRunnerJobDeadline(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	job := typed[batchv1.Job](t, "job.yaml", team.namespace)
	job.Spec.ActiveDeadlineSeconds = new(int64(10))
	job.Spec.Template.Spec.Containers[0].Command = []string{"kubectl", "get", "namespaces", "--watch"}
	create(t, home, job)
	var pod corev1.Pod
	eventually(t, func() bool {
		pods := jobPods(t, job)
		if len(pods) == 1 {
			pod = pods[0]
		}
		return len(pods) == 1 && running(&pods[0])
	}, "the Job's Pod does not run")
	awaitJob(t, job, batchv1.JobFailed)
	require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed {
			assert.Equal(t, batchv1.JobReasonDeadlineExceeded, c.Reason)
		}
	}
	eventually(t, func() bool { return len(jobPods(t, job)) == 0 }, "the Pod %s stays", pod.Name)
}

// TestRunnerCronJob: the documented way to run a CronJob now.
func TestRunnerCronJob(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	create(t, home, typed[batchv1.CronJob](t, "cronjob.yaml", team.namespace))
	mustKubectl(t, "", "-n", team.namespace, "create", "job", "--from=cronjob/nightly", "nightly-now")
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "nightly-now", Namespace: team.namespace}}
	awaitJob(t, job, batchv1.JobComplete)
	pods := jobPods(t, job)
	require.Len(t, pods, 1)
	assert.Contains(t, logs(t, &pods[0], "deploy"), team.user)
	team.assertTokenNowhere(t, jobKind, batchv1.SchemeGroupVersion.WithKind("CronJob"))
}
