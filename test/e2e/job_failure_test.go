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

// TestJobFailurePolicy: what a Job makes of exit codes goes by those of its own
// containers: of all that a Pod has, the sidecar's is no other than 0.
func TestJobFailurePolicy(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	// Fails the Job at once if a container ends as this says. All are looked at,
	// the sidecar too.
	fails := func(operator batchv1.PodFailurePolicyOnExitCodesOperator, code int32) *batchv1.PodFailurePolicy {
		return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action:      batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: operator, Values: []int32{code}},
		}}}
	}
	const in, notIn = batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn
	const ends = "kubectl auth whoami; exit "
	tests := map[string]struct {
		init, app string // scripts
		policy    *batchv1.PodFailurePolicy
		retries   int32
		deadline  *int64 // of the Pod
		reason    string // of the Job's failure
		container string // the one that failed
		code      int32
		podReason string
	}{
		"its-own":   {app: ends + "42", policy: fails(in, 42), retries: 6, reason: batchv1.JobReasonPodFailurePolicy, container: "app", code: 42},
		"no-other":  {app: ends + "42", policy: fails(notIn, 42), reason: batchv1.JobReasonBackoffLimitExceeded, container: "app", code: 42},
		"init":      {init: ends + "7", app: "exit 8", policy: fails(in, 7), retries: 6, reason: batchv1.JobReasonPodFailurePolicy, container: "before", code: 7},
		"init-only": {init: ends + "7", app: "exit 8", policy: fails(notIn, 7), reason: batchv1.JobReasonBackoffLimitExceeded, container: "before", code: 7},
		"deadline": {
			app: `trap "exit 3" TERM; kubectl auth whoami; sleep 3600 & wait`, policy: fails(notIn, 3), deadline: new(int64(15)),
			reason: batchv1.JobReasonBackoffLimitExceeded, container: "app", code: 3, podReason: "DeadlineExceeded",
		},
	}
	jobs := map[string]*batchv1.Job{}
	for name, test := range tests {
		pod := sleeper(team.namespace)
		pod.Spec.RestartPolicy, pod.Spec.TerminationGracePeriodSeconds = corev1.RestartPolicyNever, nil
		pod.Spec.ActiveDeadlineSeconds = test.deadline
		app := &pod.Spec.Containers[0]
		app.Command = []string{"sh", "-c", test.app}
		if test.init != "" {
			before := *app.DeepCopy()
			before.Name, before.Command = "before", []string{"sh", "-c", test.init}
			pod.Spec.InitContainers = []corev1.Container{before}
		}
		jobs[name] = &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: team.namespace},
			Spec: batchv1.JobSpec{
				BackoffLimit: &test.retries, PodFailurePolicy: test.policy,
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: asks()}, Spec: pod.Spec},
			},
		}
		create(t, home, jobs[name])
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			job := jobs[name]
			awaitJob(t, job, batchv1.JobFailed)
			require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(job), job))
			for _, c := range job.Status.Conditions {
				if c.Type == batchv1.JobFailed {
					assert.Equal(t, test.reason, c.Reason, c.Message)
				}
			}
			pods := jobPods(t, job)
			require.Len(t, pods, 1)
			assert.Equal(t, test.code, exitCode(t, &pods[0], test.container))
			assert.Contains(t, logs(t, &pods[0], test.container), team.user)
			assert.Equal(t, test.podReason, pods[0].Status.Reason)
			assert.Zero(t, exitCode(t, &pods[0], "connector-proxy"))
		})
	}
}
