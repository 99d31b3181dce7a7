package inject_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	jsonpatch "gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const namespace = "team-a"

var options = inject.Options{Image: "kube-connector/sidecar:dev"}

// testCase is a testdata/*.in.yaml.
type testCase struct {
	pod        []byte // raw, as the webhook gets it
	connectors []*v1alpha1.Connector
	namespace  inject.Namespace

	// What a first line "# {...}" may say.
	CPULimit        string `json:"cpuLimit"`
	ImagePullSecret string `json:"imagePullSecret"`
	MetricsPort     int    `json:"metricsPort"`
}

// TestGolden runs every testdata/*.in.yaml: the Pod as the webhook gets it,
// then its Connectors and its Namespace, which is one where Pods may ask if it is
// left out. Beside it stands the whole Pod after the patch, or the
// refusal. Warnings stand in comments at the top.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	wanted := map[string]bool{}
	for _, input := range inputs {
		golden := strings.TrimSuffix(input, ".in.yaml") + ".golden.yaml"
		wanted[golden] = true
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.yaml"), func(t *testing.T) {
			got := run(t, readCase(t, input))
			if *update {
				require.NoError(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run the test with -update to make it")
			assert.Equal(t, string(want), string(got))
		})
	}
	goldens, err := filepath.Glob("testdata/*.golden.yaml")
	require.NoError(t, err)
	for _, golden := range goldens {
		assert.True(t, wanted[golden], "%s has no input; delete it", golden)
	}
}

// run is one case: the plan, applied, as the golden file has it. On the way it
// holds what must be true of every patch.
func run(t *testing.T, c *testCase) []byte {
	t.Helper()
	result, err := c.plan(c.pod)
	if err != nil {
		return []byte("# refused: " + err.Error() + "\n")
	}
	after := apply(t, c.pod, result.Patch)

	for i, op := range result.Patch {
		switch op.Operation {
		case "remove":
			require.Positive(t, i)
			require.Regexp(t, `^/spec/volumes/\d+/csi$`, op.Path, "a patch only adds")
			require.Equal(t, jsonpatch.NewOperation("test", op.Path+"/driver", v1alpha1.CSIDriver), result.Patch[i-1], "it removes without a test")
		case "replace":
			require.Positive(t, i)
			require.Regexp(t, `^/spec/(initC|c)ontainers/\d+/volumeMounts/\d+/name$`, op.Path, "a patch only adds")
			require.Equal(t, "connectors-in-cluster", op.Value)
			test := result.Patch[i-1]
			require.Equal(t, "test "+op.Path, test.Operation+" "+test.Path, "it replaces without a test")
			require.Regexp(t, "^kube-api-access-", test.Value)
		case "test":
		default:
			assert.Equal(t, "add", op.Operation, "a patch only adds: %s", op.Path)
		}
	}
	before := decode(t, c.pod)
	withoutCSI(t, before)
	withoutAPIToken(t, before)
	assertContains(t, before, decode(t, after), "")
	for range 100 {
		again, err := c.plan(c.pod)
		require.NoError(t, err)
		require.Equal(t, marshal(t, result.Patch), marshal(t, again.Patch), "two plans of one Pod differ")
	}
	second, err := c.plan(after)
	require.NoError(t, err, "the injected Pod is refused")
	assert.Empty(t, second.Patch, "a second admission changes the Pod")
	assertSecurity(t, c.pod, after)

	var golden bytes.Buffer
	for _, warning := range result.Warnings {
		golden.WriteString("# warning: " + warning + "\n")
	}
	y, err := yaml.JSONToYAML(after)
	require.NoError(t, err)
	golden.Write(y)
	return golden.Bytes()
}

// plan is what the webhook does with a Pod of the case.
func (c *testCase) plan(raw []byte) (inject.Result, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return inject.Result{}, err
	}
	request, err := inject.ReadRequest(&pod, c.namespace)
	if err != nil {
		return inject.Result{}, err
	}
	if len(request.Connectors) == 0 {
		return inject.Result{Warnings: request.Warnings}, nil
	}
	var connectors []*v1alpha1.Connector
	for _, ref := range request.Connectors {
		i := slices.IndexFunc(c.connectors, func(have *v1alpha1.Connector) bool { return have.Name == ref.Name })
		if i < 0 {
			return inject.Result{}, fmt.Errorf("the test's input has no Connector %s", ref)
		}
		connectors = append(connectors, c.connectors[i])
	}
	o := options
	o.ImagePullSecret, o.MetricsPort = c.ImagePullSecret, c.MetricsPort
	if o.CPULimit, err = inject.ParseCPULimit(c.CPULimit); err != nil {
		return inject.Result{}, err
	}
	return inject.Plan(&pod, request, connectors, o)
}

func apply(t *testing.T, raw []byte, operations []jsonpatch.Operation) []byte {
	t.Helper()
	if len(operations) == 0 {
		return raw
	}
	patch, err := evanphx.DecodePatch(marshal(t, operations))
	require.NoError(t, err)
	after, err := patch.Apply(raw)
	require.NoError(t, err)
	return after
}

// withoutCSI takes out of a Pod what may be replaced: the source of a csi volume
// that asks for Connectors, and whether a mount of it is read-only.
func withoutCSI(t *testing.T, pod any) {
	t.Helper()
	spec := member[map[string]any](t, pod, "spec")
	replaced := map[any]bool{}
	for _, volume := range member[[]any](t, spec, "volumes") {
		csi := member[map[string]any](t, volume, "csi")
		if csi["driver"] == v1alpha1.CSIDriver {
			replaced[member[any](t, volume, "name")] = true
			delete(volume.(map[string]any), "csi")
		}
	}
	for _, list := range []string{"initContainers", "containers"} {
		for _, container := range member[[]any](t, spec, list) {
			for _, mount := range member[[]any](t, container, "volumeMounts") {
				if replaced[member[any](t, mount, "name")] {
					delete(mount.(map[string]any), "readOnly")
				}
			}
		}
	}
}

// withoutAPIToken takes out of a Pod what may be replaced for in-cluster clients:
// which volume a container mounts to get the API token of its own cluster.
func withoutAPIToken(t *testing.T, pod any) {
	t.Helper()
	if member[map[string]any](t, member[any](t, pod, "metadata"), "annotations")[v1alpha1.AnnotationInCluster] != "true" {
		return
	}
	for _, list := range []string{"initContainers", "containers"} {
		for _, container := range member[[]any](t, member[any](t, pod, "spec"), list) {
			for _, mount := range member[[]any](t, container, "volumeMounts") {
				if member[string](t, mount, "mountPath") == "/var/run/secrets/kubernetes.io/serviceaccount" {
					require.Regexp(t, "^kube-api-access-", member[string](t, mount, "name"), "replaces another mount")
					delete(mount.(map[string]any), "name")
				}
			}
		}
	}
}

// member is a member of a JSON object, or nothing.
func member[T any](t *testing.T, object any, name string) (value T) {
	t.Helper()
	m, ok := object.(map[string]any)
	require.True(t, ok, "%v is not an object", object)
	if m[name] != nil {
		value, ok = m[name].(T)
		require.True(t, ok, "%s is not what it should be", name)
	}
	return value
}

// assertContains checks that everything of before is in after: members with
// their values, list entries in their order. Only our own label and annotation
// may change.
func assertContains(t *testing.T, before, after any, path string) {
	t.Helper()
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		require.True(t, ok, "%s is gone", path)
		for key, value := range b {
			require.Contains(t, a, key, "%s/%s was removed", path, key)
			if key != v1alpha1.AnnotationStatus {
				assertContains(t, value, a[key], path+"/"+key)
			}
		}
	case []any:
		a, ok := after.([]any)
		require.True(t, ok, "%s is gone", path)
		require.GreaterOrEqual(t, len(a), len(b), "%s lost entries", path)
		offset := 0
		switch {
		case path == "/spec/initContainers":
			offset = len(a) - len(b) // the sidecar stands first
		case strings.HasSuffix(path, "ontainers/env"):
			// What the container's own variables may refer to stands first.
			offset = slices.IndexFunc(a, func(v any) bool { return reflect.DeepEqual(v, b[0]) })
			require.GreaterOrEqual(t, offset, 0, "%s lost a variable", path)
			require.GreaterOrEqual(t, len(a)-offset, len(b), "%s lost variables", path)
		}
		for i, value := range b {
			assertContains(t, value, a[i+offset], path)
		}
	default:
		require.Equal(t, before, after, "%s was replaced", path)
	}
}

// assertSecurity checks that a Pod that PodSecurity "restricted" lets in is
// still let in.
func assertSecurity(t *testing.T, before, after []byte) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	allowed := func(raw []byte) policy.AggregateCheckResult {
		var pod corev1.Pod
		require.NoError(t, json.Unmarshal(raw, &pod))
		return policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	}
	if allowed(before).Allowed {
		result := allowed(after)
		assert.True(t, result.Allowed, "restricted refuses the injected Pod: %s", result.ForbiddenDetail())
	}
}

func readCase(t *testing.T, path string) *testCase {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	documents := strings.Split(string(content), "\n---\n")
	c := &testCase{namespace: inject.Namespace{Name: namespace, Injection: v1alpha1.InjectionEnabled}}
	if header, ok := strings.CutPrefix(documents[0], "# {"); ok {
		header, _, _ = strings.Cut(header, "\n")
		require.NoError(t, yaml.UnmarshalStrict([]byte("{"+header), c))
	}
	c.pod, err = yaml.YAMLToJSON([]byte(documents[0]))
	require.NoError(t, err)
	for _, document := range documents[1:] {
		if strings.Contains(document, "\nkind: Namespace\n") {
			var ns corev1.Namespace
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), &ns))
			c.namespace = inject.Namespace{
				Name: ns.Name, Injection: ns.Labels[v1alpha1.LabelInjection], Connectors: ns.Annotations[v1alpha1.AnnotationConnectors],
			}
			continue
		}
		var connector v1alpha1.Connector
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &connector))
		c.connectors = append(c.connectors, &connector)
	}
	return c
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func decode(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v))
	return v
}
