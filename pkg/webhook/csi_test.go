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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
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

// testSelection: nothing answers at the webhooks' Service here, so the API
// server's refusal tells which one it calls for a Pod. A Pod that did not ask is
// created although the webhooks are down.
func testSelection(t *testing.T, s *server) {
	t.Helper()
	for name, value := range map[string]string{"enabled": v1alpha1.InjectionEnabled, "other": "", "odd": "yes"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if value != "" {
			namespace.Labels = map[string]string{v1alpha1.LabelInjection: value}
		}
		require.NoError(t, s.api.Create(t.Context(), namespace))
	}
	const annotated, csi = "annotated.connectors.alauda.io", "csi.connectors.alauda.io"
	asks := map[string]string{v1alpha1.AnnotationConnectors: "a"}
	out := map[string]string{v1alpha1.AnnotationConnectors: "a", v1alpha1.AnnotationInject: "false"}
	injected := map[string]string{v1alpha1.AnnotationStatus: "{}"}
	mirror := map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	for name, test := range map[string]struct {
		namespace   string
		annotations map[string]string
		driver      string
		called      string
	}{
		"annotation":                  {"enabled", asks, "", annotated},
		"csi":                         {"enabled", nil, v1alpha1.CSIDriver, annotated},
		"both":                        {"enabled", asks, v1alpha1.CSIDriver, annotated},
		"injected":                    {"enabled", injected, "", annotated},
		"plain":                       {"enabled", nil, "", ""},
		"opted out":                   {"enabled", out, v1alpha1.CSIDriver, ""},
		"annotation, no label":        {"other", asks, "", ""},
		"csi, no label":               {"other", nil, v1alpha1.CSIDriver, csi},
		"both, no label":              {"other", asks, v1alpha1.CSIDriver, csi},
		"injected, no label":          {"other", injected, "", csi},
		"another driver, no label":    {"other", nil, "csi.example.com", ""},
		"plain, no label":             {"other", nil, "", ""},
		"opted out, no label":         {"other", out, v1alpha1.CSIDriver, ""},
		"mirror, no label":            {"other", mirror, v1alpha1.CSIDriver, ""},
		"csi, label of no meaning":    {"odd", nil, v1alpha1.CSIDriver, csi},
		"csi in kube-system":          {"kube-system", nil, v1alpha1.CSIDriver, ""},
		"csi in kube-public":          {"kube-public", nil, v1alpha1.CSIDriver, ""},
		"csi in kube-node-lease":      {"kube-node-lease", nil, v1alpha1.CSIDriver, ""},
		"csi in the webhook's own":    {systemNamespace, nil, v1alpha1.CSIDriver, ""},
		"annotation in kube-system":   {"kube-system", asks, "", ""},
		"annotation in the webhook's": {systemNamespace, asks, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: test.namespace, Annotations: test.annotations},
				Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			}
			if test.driver != "" {
				pod.Spec.Volumes = []corev1.Volume{
					{Name: "empty"},
					{Name: "kube", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: test.driver}}},
				}
			}
			err := s.api.Create(t.Context(), pod, client.DryRunAll)
			if test.called == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, `failed calling webhook "`+test.called+`"`)
		})
	}
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
