package inject_test

import (
	"bytes"
	"encoding/json"
	"flag"
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

	"github.com/kube-connector/kube-connector/internal/testkit/admissiontest"
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
		name := strings.TrimSuffix(filepath.Base(input), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			got := run(t, readCase(t, input))
			assert.Equal(t, strings.HasPrefix(name, "refused-"), bytes.HasPrefix(got, []byte("# refused: ")), "the name says otherwise")
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
		assertRefusal(t, err)
		return []byte("# refused: " + err.Error() + "\n")
	}
	after := c.holds(t, result, 100)

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
	o := options
	o.ImagePullSecret, o.MetricsPort = c.ImagePullSecret, c.MetricsPort
	var err error
	if o.CPULimit, err = inject.ParseCPULimit(c.CPULimit); err != nil {
		return inject.Result{}, err
	}
	planned := admissiontest.Case{Namespace: c.namespace, Connectors: c.connectors, Options: o}
	return planned.Plan(raw)
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
				if member[string](t, mount, "mountPath") == "/var/run/secrets/kubernetes.io/serviceaccount" && strings.HasPrefix(member[string](t, mount, "name"), "kube-api-access-") {
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
			if key != v1alpha1.AnnotationStatus && key != v1alpha1.LabelInjected {
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
		case strings.HasSuffix(path, "ontainers/env") && len(b) > 0:
			// What the container's own variables may refer to stands first.
			offset = slices.IndexFunc(a, func(v any) bool { return reflect.DeepEqual(v, b[0]) })
			require.GreaterOrEqual(t, offset, 0, "%s lost a variable", path)
			require.GreaterOrEqual(t, len(a)-offset, len(b), "%s lost variables", path)
		}
		for i, value := range b {
			assertContains(t, value, a[i+offset], path)
		}
	case nil:
		// A list or a map that is null is one that is not there.
		if after != nil {
			require.Contains(t, []reflect.Kind{reflect.Slice, reflect.Map}, reflect.TypeOf(after).Kind(), "%s was replaced", path)
		}
	default:
		require.Equal(t, before, after, "%s was replaced", path)
	}
}

var podSecurity = func() policy.Evaluator {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	return evaluator
}()

// assertSecurity checks that a Pod that PodSecurity "restricted" lets in is
// still let in.
func assertSecurity(t *testing.T, before, after []byte) {
	t.Helper()
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	allowed := func(raw []byte) policy.AggregateCheckResult {
		var pod corev1.Pod
		require.NoError(t, json.Unmarshal(raw, &pod))
		return policy.AggregateCheckResults(podSecurity.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
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
