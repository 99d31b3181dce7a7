package webhook_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// podWithCSI has both the annotation and a csi volume.
func podWithCSI(annotation, attribute string) []byte {
	return bytes.Replace(pod(annotation), []byte(`"spec":{`), []byte(`"spec":{"volumes":[{"name":"kube","csi":{"driver":"connectors-csi",`+
		`"volumeAttributes":{"connectors":"`+attribute+`","configuration.names":"kubeconfig"}}}],`), 1)
}

// testCSI: where Pods come from decides what counts in them.
func testCSI(t *testing.T, s *server) {
	t.Helper()
	for _, name := range []string{"annotated", "mounted"} {
		require.NoError(t, s.api.Create(t.Context(), newConnector(name)))
	}
	pod := podWithCSI("annotated", "mounted")
	const ignored = "annotation connectors.alauda.io/connectors was ignored"

	enabled := s.review(t, webhook.InjectPath, "default", pod)
	require.True(t, enabled.Allowed, "%+v", enabled.Result)
	assert.Contains(t, string(enabled.Patch), "--connector=default/annotated")
	assert.Contains(t, string(enabled.Patch), "--connector=default/mounted")
	assert.NotContains(t, strings.Join(enabled.Warnings, "\n"), ignored)

	other := s.review(t, webhook.InjectCSIPath, "default", pod)
	require.True(t, other.Allowed, "%+v", other.Result)
	assert.NotContains(t, string(other.Patch), "default/annotated")
	assert.Contains(t, string(other.Patch), "--connector=default/mounted")
	assert.Contains(t, strings.Join(other.Warnings, "\n"), ignored)

	missing := s.review(t, webhook.InjectCSIPath, "default", podWithCSI("annotated", "missing"))
	assert.False(t, missing.Allowed)
	assert.EqualValues(t, http.StatusForbidden, missing.Result.Code)
	assert.Contains(t, missing.Result.Message, `the Connector default/missing, which volume "kube" names, does not exist`)
}

// testDryRun gives the golden files of pkg/inject to a real API server: it takes
// each of them, and a Pod that had a QoS class keeps it.
func testDryRun(t *testing.T, s *server) {
	t.Helper()
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
			want := s.qosClass(t, before)
			if want == string(corev1.PodQOSBestEffort) && bytes.Contains(content, []byte(inject.SidecarName)) {
				want = string(corev1.PodQOSBurstable) // the sidecar has requests
			}
			assert.Equal(t, want, s.qosClass(t, content))
		})
	}
}

// qosClass is the class that the API server would give a Pod.
func (s *server) qosClass(t *testing.T, pod []byte) string {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(pod, &object.Object))
	object.SetNamespace("kube-system") // which no webhook of ours is called for
	require.NoError(t, s.api.Create(t.Context(), object, client.DryRunAll))
	class, _, err := unstructured.NestedString(object.Object, "status", "qosClass")
	require.NoError(t, err)
	require.NotEmpty(t, class)
	return class
}
