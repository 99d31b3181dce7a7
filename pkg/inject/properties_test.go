package inject_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	jsonpatch "gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit/admissiontest"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// holds checks what must be true of every Pod that is let in, and returns it with
// the patch applied.
func (c *testCase) holds(t *testing.T, result inject.Result, runs int) []byte {
	t.Helper()
	after := apply(t, c.pod, result.Patch)
	assertAddsOnly(t, result)
	before := decode(t, c.pod)
	withoutCSI(t, before)
	withoutAPIToken(t, before)
	assertContains(t, before, decode(t, after), "")
	want := marshal(t, result)
	for range runs {
		again, err := c.plan(c.pod)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, marshal(t, again)), "two plans of one Pod differ")
	}
	second, err := c.plan(after)
	require.NoError(t, err, "the injected Pod is refused")
	assert.Empty(t, second.Patch, "a second admission changes the Pod")
	assertSecurity(t, c.pod, after)
	assertQoS(t, c.pod, after)
	if len(result.Patch) > 0 {
		assertSealed(t, after)
	}
	return after
}

// assertAddsOnly checks that a patch adds, but for the two exceptions, each of
// which tests what it replaces, and is told.
func assertAddsOnly(t *testing.T, result inject.Result) {
	t.Helper()
	told := 0
	for i, op := range result.Patch {
		switch op.Operation {
		case "remove":
			told++
			require.Positive(t, i)
			require.Regexp(t, `^/spec/volumes/\d+/csi$`, op.Path, "a patch only adds")
			require.Equal(t, jsonpatch.NewOperation("test", op.Path+"/driver", v1alpha1.CSIDriver), result.Patch[i-1], "it removes without a test")
		case "replace":
			told++
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
	warnings := strings.Count(strings.Join(result.Warnings, "\n"), " was replaced")
	assert.Equal(t, told, warnings, "what is replaced is not told: %q", result.Warnings)
}

// assertSealed checks that only the sidecar, which comes first, has what is the
// sidecar's, and that the others cannot write into what it writes for them.
func assertSealed(t *testing.T, after []byte) {
	t.Helper()
	var pod corev1.Pod
	require.NoError(t, json.Unmarshal(after, &pod))
	require.NotEmpty(t, pod.Spec.InitContainers)
	require.Equal(t, inject.SidecarName, pod.Spec.InitContainers[0].Name)
	written := map[string]bool{}
	for _, m := range pod.Spec.InitContainers[0].VolumeMounts {
		written[m.Name] = !m.ReadOnly
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers[1:], pod.Spec.Containers) {
		for _, m := range container.VolumeMounts {
			assert.NotEqual(t, "connectors-state", m.Name)
			assert.NotContains(t, m.Name, "connectors-credentials-")
			if written[m.Name] {
				assert.True(t, m.ReadOnly, "%s may write into %s", container.Name, m.Name)
			}
		}
	}
}

// assertQoS checks that a Pod's QoS class stays. Of BestEffort there can be no
// more if the sidecar asks for anything.
func assertQoS(t *testing.T, before, after []byte) {
	t.Helper()
	var pod, injected corev1.Pod
	require.NoError(t, json.Unmarshal(before, &pod))
	require.NoError(t, json.Unmarshal(after, &injected))
	if len(pod.Spec.Containers) == 0 {
		return // no API server takes it
	}
	want := qosClass(&pod.Spec)
	if want == corev1.PodQOSBestEffort && !bytes.Equal(before, after) && pod.Spec.Resources == nil {
		want = corev1.PodQOSBurstable
	}
	assert.Equal(t, want, qosClass(&injected.Spec))
}

// qosClass is the kubelet's: Guaranteed, if everything has limits of CPU and
// memory and asks for as much; BestEffort, if nothing asks for anything;
// Burstable else. What a whole Pod says takes the place of its containers.
// pkg/webhook asks a real API server, too.
func qosClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	var all []corev1.ResourceRequirements
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		all = append(all, container.Resources)
	}
	if spec.Resources != nil {
		all = []corev1.ResourceRequirements{*spec.Resources}
	}
	guaranteed, bestEffort := true, true
	for _, r := range all {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit := r.Limits[name]
			request, said := r.Requests[name]
			if !said {
				request = limit // as the API server fills it in
			}
			guaranteed = guaranteed && limit.Sign() > 0 && request.Cmp(limit) == 0
			bestEffort = bestEffort && limit.Sign() == 0 && request.Sign() == 0
		}
	}
	switch {
	case bestEffort:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// assertRefusal checks that a refusal says what it is about, and is a line that
// people read.
func assertRefusal(t *testing.T, err error) {
	t.Helper()
	message := err.Error()
	assert.Regexp(t, `^(annotations? connectors\.alauda\.io/|volume "|(init )?container "|the Pod has |connector )`, message, "it does not say of what")
	assert.Less(t, len(message), 1024, "it is too long")
	assert.NotContains(t, message, "\n")
	assert.True(t, utf8.ValidString(message), "%q", message)
}

// A Pod that no file would show.
func TestManyVariables(t *testing.T) {
	const count = 2000
	large := admissiontest.ManyVariables(count)
	c := &testCase{pod: large.Pod, namespace: large.Namespace, connectors: large.Connectors}
	result, err := c.plan(c.pod)
	require.NoError(t, err)
	var pod corev1.Pod
	require.NoError(t, json.Unmarshal(c.holds(t, result, 100), &pod))
	env := pod.Spec.Containers[0].Env
	require.Len(t, env, count+1)
	assert.Equal(t, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", count-1), Value: fmt.Sprintf("value %d of $(VARIABLE_%d), $$%d", count-1, count-2, count-1)}, env[count-1])
	assert.Equal(t, "KUBECONFIG", env[count].Name)
	assert.Less(t, len(result.Patch), 20, "the patch grows with the variables")
}
