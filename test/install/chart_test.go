package install

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// template renders the chart.
func template(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return tryHelm(t, append([]string{"template", "kube-connector", chart, "--kube-version", "v1.30.0"}, args...)...)
}

// decode returns the objects of a manifest by kind, namespace and name.
func decode(t *testing.T, manifest string) map[string]*unstructured.Unstructured {
	t.Helper()
	objects := map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		if len(object.Object) == 0 {
			continue
		}
		key := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		require.NotContains(t, objects, key)
		objects[key] = object
	}
	return objects
}

// settingsHash is the hash that kustomize puts at the end of a ConfigMap's name.
var settingsHash = regexp.MustCompile(`(connector-(?:webhook|controller)-settings)-[a-z0-9]+`)

// TestChartIsTheManifest: with the default values the chart is dist/install.yaml,
// but for what Helm does in another way.
func TestChartIsTheManifest(t *testing.T) {
	rendered, err := template(t)
	require.NoError(t, err)
	manifest, err := os.ReadFile(filepath.Join(root, "dist/install.yaml"))
	require.NoError(t, err)
	want := decode(t, settingsHash.ReplaceAllString(string(manifest), "$1"))
	require.Contains(t, want, "Namespace /connectors-system")
	delete(want, "Namespace /connectors-system") // helm install --create-namespace

	got := decode(t, rendered)
	for key, object := range got {
		switch object.GetKind() {
		case "CustomResourceDefinition":
			annotations := object.GetAnnotations()
			assert.Equal(t, "keep", annotations["helm.sh/resource-policy"], key)
			delete(annotations, "helm.sh/resource-policy")
			object.SetAnnotations(annotations)
		case "Deployment":
			annotations := []string{"spec", "template", "metadata", "annotations"}
			sum, _, err := unstructured.NestedString(object.Object, append(annotations, "checksum/settings")...)
			require.NoError(t, err)
			assert.Len(t, sum, 64, key)
			unstructured.RemoveNestedField(object.Object, annotations...)
		}
	}
	assert.Equal(t, want, got)
}

func TestValues(t *testing.T) {
	plain, err := template(t)
	require.NoError(t, err)
	rendered, err := template(t,
		"--set", "image.repository=registry.example.com/platform,image.tag=v9",
		"--set", "imagePullSecrets[0].name=pull,nodeSelector.kind=infra,tolerations[0].operator=Exists",
		"--set", "webhook.replicas=3,controller.resources.limits.memory=1Gi,controller.settings.log-level=DEBUG",
		"--set", "podDisruptionBudget.enabled=false,networkPolicy.enabled=false,crds.keep=false",
		"--set-json", `affinity={"nodeAffinity":{}}`)
	require.NoError(t, err)
	assert.NotContains(t, rendered, "kind: PodDisruptionBudget")
	assert.NotContains(t, rendered, "kind: NetworkPolicy")
	assert.NotContains(t, rendered, "helm.sh/resource-policy")

	before, objects := decode(t, plain), decode(t, rendered)
	field := func(objects map[string]*unstructured.Unstructured, key string, path ...string) any {
		require.Contains(t, objects, key)
		value, _, err := unstructured.NestedFieldNoCopy(objects[key].Object, path...)
		require.NoError(t, err)
		return value
	}
	const webhook, controller = "Deployment connectors-system/connector-webhook", "Deployment connectors-system/connector-controller"
	assert.Equal(t, map[string]any{"log-level": "INFO", "sidecar-image": "registry.example.com/platform/sidecar:v9"},
		field(objects, "ConfigMap connectors-system/connector-webhook-settings", "data"))
	assert.Equal(t, map[string]any{"log-level": "DEBUG"},
		field(objects, "ConfigMap connectors-system/connector-controller-settings", "data"))
	assert.InEpsilon(t, 3, field(objects, webhook, "spec", "replicas"), 0)
	for _, key := range []string{webhook, controller} {
		pod := []string{"spec", "template", "spec"}
		assert.Equal(t, []any{map[string]any{"name": "pull"}}, field(objects, key, append(pod, "imagePullSecrets")...))
		assert.Equal(t, map[string]any{"kind": "infra"}, field(objects, key, append(pod, "nodeSelector")...))
		assert.Equal(t, []any{map[string]any{"operator": "Exists"}}, field(objects, key, append(pod, "tolerations")...))
		assert.Equal(t, map[string]any{"nodeAffinity": map[string]any{}}, field(objects, key, append(pod, "affinity")...))
		sum := []string{"spec", "template", "metadata", "annotations", "checksum/settings"}
		assert.NotEqual(t, field(before, key, sum...), field(objects, key, sum...), "other settings roll the Pods")
	}
	assert.Contains(t, rendered, "image: registry.example.com/platform/controller:v9\n")
	assert.Contains(t, rendered, "memory: 1Gi")

	own, err := template(t, "--set", "webhook.settings.sidecar-image=registry.example.com/mine:v1")
	require.NoError(t, err)
	assert.Equal(t, "registry.example.com/mine:v1", field(decode(t, own), "ConfigMap connectors-system/connector-webhook-settings", "data", "sidecar-image"))

	// What may hold a token is what is injected.
	assert.Contains(t, plain, "'kube-connector.invalid/sidecar:"+version+"'.split(' ')")
	assert.Contains(t, rendered, "'registry.example.com/platform/sidecar:v9'.split(' ')")
	assert.Contains(t, own, "'registry.example.com/mine:v1'.split(' ')")
	more, err := template(t, "--set", "policies.sidecarImages[0]=registry.example.com/sidecar:v0,policies.exemptUsers[0]=system:serviceaccount:backup:backup")
	require.NoError(t, err)
	assert.Contains(t, more, "'kube-connector.invalid/sidecar:"+version+" registry.example.com/sidecar:v0'.split(' ')")
	policies := 0
	for key, object := range decode(t, more) {
		if object.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		conditions, _, err := unstructured.NestedSlice(object.Object, "spec", "matchConditions")
		require.NoError(t, err)
		if len(conditions) > 0 && conditions[0].(map[string]any)["name"] == "is-not-exempt" {
			policies++
			assert.Equal(t, `!(request.userInfo.username in ["system:serviceaccount:backup:backup"])`, conditions[0].(map[string]any)["expression"], key)
		}
	}
	assert.Equal(t, 5, policies)
}

// TestWrongValuesAreRefused before anything reaches a cluster.
func TestWrongValuesAreRefused(t *testing.T) {
	for set, want := range map[string]string{
		"imge.tag=v1":                     "imge",
		"image.tags=v1":                   "tags",
		"image.tag=a b":                   "does not match pattern",
		"image.repository=https://x/":     "does not match pattern",
		"webhook.replicas=0":              "minimum",
		"webhook.replicas=many":           "integer",
		"controller.settings.port=1":      "string",
		"webhook.replica=2":               "replica",
		"webhook.resources.request.cpu=1": "request",
		"networkPolicy.enabled=no":        "boolean",
		"crds.keep=maybe":                 "boolean",
		"policies.exemptUsers=anna":       "array",
		"policies.sidecarImages[0]=a b":   "does not match pattern",
		"policies.sidecarImage=a":         "sidecarImage",
		"imagePullSecrets[0]=pull":        "object",
		"image.repository=x.io/Upper":     "does not match pattern",
		"crds=null":                       "missing property 'crds'",
		"webhook.settings=null":           "missing property 'settings'",
		"podDisruptionBudget=null":        "missing property 'podDisruptionBudget'",
	} {
		_, err := template(t, "--set", set)
		if assert.Error(t, err, set) {
			assert.Contains(t, err.Error(), "values don't meet the specifications of the schema", set)
			assert.Contains(t, err.Error(), want, set)
		}
	}
	_, err := template(t, "--namespace", "elsewhere")
	require.ErrorContains(t, err, `installed into the namespace connectors-system, and not into "elsewhere"`)
	_, err = template(t, "--kube-version", "v1.29.9")
	require.ErrorContains(t, err, "requires kubeVersion: >=1.30")
}
