package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/build/image"
	"github.com/kube-connector/kube-connector/test/cluster"
)

var workflowKind = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Workflow"}

// TestRunnerArgo runs workflows with a real Argo Workflows, whose containers
// init and wait stand beside the sidecar and report to the API server of home.
func TestRunnerArgo(t *testing.T) {
	t.Parallel()
	argo := installArgo(t)

	t.Run("a workflow", func(t *testing.T) {
		team := newTeam(t)
		allowArgo(t, argo, team.namespace)
		workflow := sample(t, "argo-workflow.yaml", team.namespace)[0]
		create(t, home, workflow)
		assertReported(t, team, awaitWorkflow(t, workflow, "Succeeded"))
		pod := workflowPod(t, team.namespace)
		awaitEnd(t, pod, corev1.PodSucceeded)
		team.assertTokenNowhere(t, workflowKind)
	})

	t.Run("a csi volume, which the container wait does not see", func(t *testing.T) {
		team := newTeamIn(t, makeNamespace(t, home, nil))
		allowArgo(t, argo, team.namespace)
		workflow := sample(t, "argo-workflow.yaml", team.namespace)[0]
		unstructured.RemoveNestedField(workflow.Object, "spec", "podSpecPatch")
		require.NoError(t, unstructured.SetNestedSlice(workflow.Object, []any{map[string]any{
			"name": "kube", "csi": map[string]any{
				"driver": "connectors-csi", "readOnly": true,
				"volumeAttributes": map[string]any{"connector.name": "k8s-connector", "configuration.names": "kubeconfig"},
			},
		}}, "spec", "volumes"))
		editTemplate(t, workflow, func(template, script map[string]any) {
			delete(template, "metadata")
			script["volumeMounts"] = []any{map[string]any{"name": "kube", "mountPath": "/opt/kube"}}
			script["env"] = []any{map[string]any{"name": "KUBECONFIG", "value": "/opt/kube/kubeconfig"}}
		})
		create(t, home, workflow)
		assertReported(t, team, awaitWorkflow(t, workflow, "Succeeded"))
	})

	t.Run("a failing step", func(t *testing.T) {
		team := newTeam(t)
		allowArgo(t, argo, team.namespace)
		workflow := sample(t, "argo-workflow.yaml", team.namespace)[0]
		editTemplate(t, workflow, func(template, script map[string]any) {
			script["source"] = "env\n" + failing
			delete(template, "outputs")
		})
		create(t, home, workflow)
		node := awaitWorkflow(t, workflow, "Failed")
		exitCode, _, err := unstructured.NestedString(node, "outputs", "exitCode")
		require.NoError(t, err)
		assert.Equal(t, "42", exitCode)
		assert.Contains(t, node["message"], "exit code 42")
		pod := workflowPod(t, team.namespace)
		awaitEnd(t, pod, corev1.PodFailed)
		assert.Contains(t, logs(t, pod, "main"), "forbidden")
		team.assertTokenNowhere(t, workflowKind)
	})
}

// assertReported: the step's output parameter comes from its container wait.
func assertReported(t *testing.T, team *team, step map[string]any) {
	t.Helper()
	parameters, _, err := unstructured.NestedSlice(step, "outputs", "parameters")
	require.NoError(t, err)
	require.Len(t, parameters, 1)
	assert.Equal(t, team.user, parameters[0].(map[string]any)["value"])
}

// editTemplate changes the sample's only template.
func editTemplate(t *testing.T, workflow *unstructured.Unstructured, edit func(template, script map[string]any)) {
	t.Helper()
	templates, _, err := unstructured.NestedSlice(workflow.Object, "spec", "templates")
	require.NoError(t, err)
	require.Len(t, templates, 1)
	template := templates[0].(map[string]any)
	edit(template, template["script"].(map[string]any))
	require.NoError(t, unstructured.SetNestedSlice(workflow.Object, templates, "spec", "templates"))
}

// installArgo installs Argo Workflows from its own manifests, without its server,
// until the test ends.
func installArgo(t *testing.T) cluster.Runner {
	t.Helper()
	argo, err := cluster.ArgoWorkflows(t.Context(), os.Stderr)
	require.NoError(t, err)
	for _, name := range []string{"workflow-controller", "argoexec"} {
		require.NoError(t, clusters.BuildImage(t.Context(), image.Image{
			Tag: "argoproj/" + name + ":dev", Entrypoint: []string{"/bin/" + name}, Env: []string{"PATH=/bin"},
			Files: []image.File{{Path: "/bin/" + name, Source: filepath.Join(argo.Binaries, name)}},
			Dirs:  []image.Dir{{Path: "/tmp", Mode: 0o1777}},
		}))
	}
	dir := filepath.Join(argo.Source, "manifests")
	manifests := "{apiVersion: v1, kind: Namespace, metadata: {name: argo}}\n---\n" +
		readManifests(t, dir, "base/crds/minimal/argoproj*.yaml") + "\n---\n" +
		mustKubectl(t, "", "kustomize", filepath.Join(dir, "cluster-install-no-crds"))
	manifests = strings.ReplaceAll(manifests, "quay.io/argoproj/workflow-controller:latest", "argoproj/workflow-controller:dev")
	manifests = strings.ReplaceAll(manifests, "args: []", "args: [--executor-image, 'argoproj/argoexec:dev']")
	installRunner(t, withoutArgoServer(t, manifests), "argo", "workflow-controller")
	return argo
}

// withoutArgoServer leaves out what is Argo's user interface.
func withoutArgoServer(t *testing.T, manifests string) string {
	t.Helper()
	var kept []string
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		if !strings.Contains(document, "\n  name: argo-server") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

// allowArgo lets the Pods of a namespace report to Argo, as Argo's own manifests
// recommend.
func allowArgo(t *testing.T, argo cluster.Runner, namespace string) {
	t.Helper()
	role := readManifests(t, filepath.Join(argo.Source, "manifests", "quick-start", "base", "executor"), "*/executor-role.yaml")
	mustKubectl(t, role, "-n", namespace, "apply", "-f", "-")
	mustKubectl(t, "", "-n", namespace, "create", "rolebinding", "executor", "--role=executor", "--serviceaccount="+namespace+":default")
}

// awaitWorkflow waits until a workflow has ended in the phase, and returns its
// only step.
func awaitWorkflow(t *testing.T, workflow *unstructured.Unstructured, phase string) map[string]any {
	t.Helper()
	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(workflow), workflow))
		now, _, err := unstructured.NestedString(workflow.Object, "status", "phase")
		require.NoError(t, err)
		if now == "" || now == "Pending" || now == "Running" {
			return false
		}
		require.Equal(t, phase, now, "%v", workflow.Object["status"])
		return true
	}, "the workflow does not end; it is %v", workflow)
	nodes, _, err := unstructured.NestedMap(workflow.Object, "status", "nodes")
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	return nodes[workflow.GetName()].(map[string]any)
}

func workflowPod(t *testing.T, namespace string) *corev1.Pod {
	t.Helper()
	pods := podsOf(t, namespace, nil)
	require.Len(t, pods, 1)
	return &pods[0]
}
