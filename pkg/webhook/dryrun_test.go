package webhook_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/internal/testkit/admissiontest"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// testDryRun gives what is injected to a real API server: it takes each Pod that
// it would take as it was, with the QoS class that it had.
func testDryRun(t *testing.T, s *server) {
	t.Helper()
	require.NoError(t, s.api.Create(t.Context(), &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: "sandboxed"}, Handler: "sandbox",
		Overhead: &nodev1.Overhead{PodFixed: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("160Mi"),
		}},
		Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"sandbox.example.com/kvm": "true"}},
	}))
	goldens, err := filepath.Glob("../inject/testdata/*.golden.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, goldens)
	for _, golden := range goldens {
		content, err := os.ReadFile(golden)
		require.NoError(t, err)
		if bytes.HasPrefix(content, []byte("# refused: ")) {
			continue
		}
		t.Run(filepath.Base(golden), func(t *testing.T) {
			input, err := os.ReadFile(strings.TrimSuffix(golden, ".golden.yaml") + ".in.yaml")
			require.NoError(t, err)
			before, _, _ := bytes.Cut(input, []byte("\n---\n"))
			want, err := s.dryRun(t, before)
			if filepath.Base(golden) == "ephemeral-containers.golden.yaml" {
				require.ErrorContains(t, err, "spec.ephemeralContainers: Forbidden")
				_, same := s.dryRun(t, content)
				assert.EqualError(t, same, err.Error())
				return
			}
			require.NoError(t, err)
			s.assertTaken(t, want, content)
		})
	}
	t.Run("many variables", func(t *testing.T) {
		c := admissiontest.ManyVariables(2000)
		before, err := s.dryRun(t, c.Pod)
		require.NoError(t, err)
		s.assertTaken(t, before, injectInto(t, c, c.Pod))
	})
	t.Run("at random", func(t *testing.T) { testDryRunAtRandom(t, s) })
}

// testDryRunAtRandom injects into Pods that the API server takes, as it has filled
// them in.
func testDryRunAtRandom(t *testing.T, s *server) {
	t.Helper()
	const pods = 300
	injected := 0
	for i := range pods {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			shape := make([]byte, 1024)
			_, err := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(shape)
			require.NoError(t, err)
			c := admissiontest.Random(shape)
			before, err := s.dryRun(t, c.Pod)
			if err != nil {
				return
			}
			raw, err := before.MarshalJSON()
			require.NoError(t, err)
			if after := injectInto(t, c, raw); after != nil {
				injected++
				s.assertTaken(t, before, after)
			}
		})
	}
	assert.Greater(t, injected, pods/4, "too few Pods are injected to tell")
}

// injectInto returns the Pod as it is after admission, or nothing if it is refused
// or left as it is.
func injectInto(t *testing.T, c *admissiontest.Case, pod []byte) []byte {
	t.Helper()
	result, err := c.Plan(pod)
	if err != nil || len(result.Patch) == 0 {
		return nil
	}
	operations, err := json.Marshal(result.Patch)
	require.NoError(t, err)
	patch, err := evanphx.DecodePatch(operations)
	require.NoError(t, err)
	after, err := patch.Apply(pod)
	require.NoError(t, err)
	return after
}

// assertTaken checks that the API server takes a Pod, and gives it the class that
// it had before. One without any requests has the sidecar's.
func (s *server) assertTaken(t *testing.T, before *unstructured.Unstructured, after []byte) {
	t.Helper()
	taken, err := s.dryRun(t, after)
	require.NoError(t, err, "%s", after)
	want := qosClass(t, before)
	_, ofThePod, err := unstructured.NestedMap(before.Object, "spec", "resources")
	require.NoError(t, err)
	if want == string(corev1.PodQOSBestEffort) && !ofThePod && bytes.Contains(after, []byte(inject.SidecarName)) {
		want = string(corev1.PodQOSBurstable)
	}
	assert.Equal(t, want, qosClass(t, taken), "%s", after)
}

// dryRun is a Pod as the API server would store it.
func (s *server) dryRun(t *testing.T, pod []byte) (*unstructured.Unstructured, error) {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(pod, &object.Object))
	object.SetNamespace("kube-system") // which no webhook of ours is called for
	delete(object.Object, "status")    // a QoS class in it would be kept
	return object, s.api.Create(t.Context(), object, client.DryRunAll)
}

func qosClass(t *testing.T, pod *unstructured.Unstructured) string {
	t.Helper()
	class, _, err := unstructured.NestedString(pod.Object, "status", "qosClass")
	require.NoError(t, err)
	require.NotEmpty(t, class)
	return class
}
