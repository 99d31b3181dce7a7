package inject_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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

// TestGolden runs every testdata/*.in.yaml: the Pod as the webhook gets it,
// then its Connectors. Beside it stands the whole Pod after the patch, or the
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
			raw, connectors := readInput(t, input)
			got := run(t, raw, connectors)
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
func run(t *testing.T, raw []byte, connectors []*v1alpha1.Connector) []byte {
	t.Helper()
	result, err := plan(raw, connectors)
	if err != nil {
		return []byte("# refused: " + err.Error() + "\n")
	}
	after := apply(t, raw, result.Patch)

	for _, op := range result.Patch {
		assert.Equal(t, "add", op.Operation, "a patch only adds: %s", op.Path)
	}
	assertContains(t, decode(t, raw), decode(t, after), "")
	for range 100 {
		again, err := plan(raw, connectors)
		require.NoError(t, err)
		require.Equal(t, marshal(t, result.Patch), marshal(t, again.Patch), "two plans of one Pod differ")
	}
	second, err := plan(after, connectors)
	require.NoError(t, err, "the injected Pod is refused")
	assert.Empty(t, second.Patch, "a second admission changes the Pod")
	assertSecurity(t, raw, after)

	var golden bytes.Buffer
	for _, warning := range result.Warnings {
		golden.WriteString("# warning: " + warning + "\n")
	}
	y, err := yaml.JSONToYAML(after)
	require.NoError(t, err)
	golden.Write(y)
	return golden.Bytes()
}

func plan(raw []byte, connectors []*v1alpha1.Connector) (inject.Result, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return inject.Result{}, err
	}
	refs, err := inject.References(&pod, namespace)
	if err != nil || len(refs) == 0 {
		return inject.Result{}, err
	}
	return inject.Plan(&pod, connectors, options)
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
		if path == "/spec/initContainers" {
			offset = len(a) - len(b) // the sidecar stands first
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

// readInput reads the Pod, which stays raw, and the Connectors.
func readInput(t *testing.T, path string) (pod []byte, connectors []*v1alpha1.Connector) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	documents := strings.Split(string(content), "\n---\n")
	pod, err = yaml.YAMLToJSON([]byte(documents[0]))
	require.NoError(t, err)
	for _, document := range documents[1:] {
		var c v1alpha1.Connector
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &c))
		connectors = append(connectors, &c)
	}
	return pod, connectors
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
