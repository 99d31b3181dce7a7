package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	tektonGroup     = schema.GroupVersion{Group: "tekton.dev", Version: "v1"}
	taskRunKind     = tektonGroup.WithKind("TaskRun")
	pipelineRunKind = tektonGroup.WithKind("PipelineRun")
)

// TestRunnerTekton runs pipelines with a real Tekton, in whose Pods the sidecar
// is nobody's step and nobody's sidecar.
func TestRunnerTekton(t *testing.T) {
	t.Parallel()
	installTekton(t)

	t.Run("a pipeline, of which one task uses the Connector", func(t *testing.T) {
		team := newTeam(t)
		run := sample(t, "tekton-pipelinerun.yaml", team.namespace)[0]
		create(t, home, run)
		awaitSucceeded(t, run, corev1.ConditionTrue)

		pods := podsOf(t, team.namespace, nil)
		require.Len(t, pods, 2)
		for _, pod := range pods {
			deploys := pod.Labels["tekton.dev/pipelineTask"] == "deploy"
			assert.Equal(t, deploys, injected(&pod), "Pod %s", pod.Name)
			if deploys {
				assert.Contains(t, logs(t, &pod, "step-kubectl"), team.user)
				awaitEnd(t, &pod, corev1.PodSucceeded)
			}
		}
		// A result travels through the step's termination message.
		for _, taskRun := range list(t, taskRunKind, team.namespace) {
			if taskRun.GetLabels()["tekton.dev/pipelineTask"] == "deploy" {
				results, _, err := unstructured.NestedSlice(taskRun.Object, "status", "results")
				require.NoError(t, err)
				require.Len(t, results, 1)
				assert.Equal(t, team.user, results[0].(map[string]any)["value"])
			}
		}
		team.assertTokenNowhere(t, taskRunKind, pipelineRunKind)
	})

	t.Run("a task", func(t *testing.T) {
		team := newTeam(t)
		objects := sample(t, "tekton-task.yaml", team.namespace)
		create(t, home, objects[0])
		create(t, home, objects[1])
		awaitSucceeded(t, objects[1], corev1.ConditionTrue)
		pod := taskRunPod(t, objects[1])
		assert.Contains(t, logs(t, pod, "step-kubectl"), team.user)
		team.assertTokenNowhere(t, taskRunKind)
	})

	t.Run("a workspace, without label or annotation", func(t *testing.T) {
		team := newTeamIn(t, makeNamespace(t, home, nil))
		objects := sample(t, "tekton-workspace.yaml", team.namespace)
		create(t, home, objects[0])
		create(t, home, objects[1])
		awaitSucceeded(t, objects[1], corev1.ConditionTrue)
		pod := taskRunPod(t, objects[1])
		assert.Contains(t, logs(t, pod, "step-kubectl"), team.user)
		awaitEnd(t, pod, corev1.PodSucceeded)
		team.assertTokenNowhere(t, taskRunKind)
	})

	t.Run("a failing step", func(t *testing.T) {
		team := newTeam(t)
		objects := sample(t, "tekton-task.yaml", team.namespace)
		steps := []any{
			map[string]any{"name": "kubectl", "image": docsImage, "script": "#!/bin/sh\nenv; kubectl create namespace not-allowed || exit 42\n"},
			map[string]any{"name": "never", "image": docsImage, "script": "echo ran"},
		}
		require.NoError(t, unstructured.SetNestedSlice(objects[0].Object, steps, "spec", "steps"))
		create(t, home, objects[0])
		create(t, home, objects[1])
		message := awaitSucceeded(t, objects[1], corev1.ConditionFalse)
		assert.Contains(t, message, "step-kubectl", "the failing step is named")
		assert.Contains(t, message, "42", "with its own exit code")
		pod := taskRunPod(t, objects[1])
		awaitEnd(t, pod, corev1.PodFailed)
		assert.EqualValues(t, 42, exitCode(t, pod, "step-kubectl"))
		assert.Contains(t, logs(t, pod, "step-kubectl"), "forbidden")
		assert.NotContains(t, logs(t, pod, "step-never"), "ran")
		team.assertTokenNowhere(t, taskRunKind)
	})
}

// awaitSucceeded waits until a run's condition Succeeded has the status, and
// returns its message.
func awaitSucceeded(t *testing.T, run *unstructured.Unstructured, status corev1.ConditionStatus) string {
	t.Helper()
	var message string
	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(run), run))
		conditions, _, err := unstructured.NestedSlice(run.Object, "status", "conditions")
		require.NoError(t, err)
		for _, c := range conditions {
			condition := c.(map[string]any)
			if condition["type"] == "Succeeded" && condition["status"] != string(corev1.ConditionUnknown) {
				message, _ = condition["message"].(string)
				require.Equal(t, string(status), condition["status"], message)
				return true
			}
		}
		return false
	}, "%s %s does not end", run.GetKind(), run.GetName())
	return message
}

// taskRunPod is the Pod that a TaskRun says it ran in.
func taskRunPod(t *testing.T, run *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	name, _, err := unstructured.NestedString(run.Object, "status", "podName")
	require.NoError(t, err)
	pod := &corev1.Pod{}
	require.NoError(t, home.Get(t.Context(), client.ObjectKey{Namespace: run.GetNamespace(), Name: name}, pod))
	return pod
}

// awaitEnd waits until a Pod has ended, and the sidecar with it.
func awaitEnd(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase) {
	t.Helper()
	*pod = *awaitPod(t, pod, string(phase), func(p *corev1.Pod) bool { return p.Status.Phase == phase })
	assert.Zero(t, exitCode(t, pod, "connector-proxy"), "the sidecar's exit code")
}

func list(t *testing.T, kind schema.GroupVersionKind, namespace string) []unstructured.Unstructured {
	t.Helper()
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(kind)
	require.NoError(t, home.List(t.Context(), found, client.InNamespace(namespace)))
	return found.Items
}
