package webhook_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Our webhooks.
const (
	annotated = "annotated.connectors.alauda.io"
	always    = "always.connectors.alauda.io"
	csi       = "csi.connectors.alauda.io"
)

// testSelection: which webhook the API server calls for a Pod, by its own
// metrics. Nothing answers at the webhooks' Service here: a Pod that did not ask
// is created although they are down, and for others the refusal names the one.
func testSelection(t *testing.T, s *server) {
	t.Helper()
	for name, value := range map[string]string{
		"enabled": v1alpha1.InjectionEnabled, "always": v1alpha1.InjectionAlways, "other": "", "odd": "yes",
	} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if value != "" {
			namespace.Labels = map[string]string{v1alpha1.LabelInjection: value}
		}
		require.NoError(t, s.api.Create(t.Context(), namespace))
	}
	public := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-public"}}
	label := client.RawPatch(client.Merge.Type(), []byte(`{"metadata":{"labels":{"connectors.alauda.io/injection":"always"}}}`))
	require.NoError(t, s.api.Patch(t.Context(), public, label))

	asks := map[string]string{v1alpha1.AnnotationConnectors: "a"}
	defaults := map[string]string{v1alpha1.AnnotationInject: "true"}
	out := map[string]string{v1alpha1.AnnotationConnectors: "a", v1alpha1.AnnotationInject: "false"}
	injected := map[string]string{v1alpha1.AnnotationStatus: "{}"}
	mirror := map[string]string{v1alpha1.AnnotationConnectors: "a", corev1.MirrorPodAnnotationKey: "x"}
	others := map[string]string{"connectors": "a", "connectors.example.com/inject": "true"}
	for name, test := range map[string]struct {
		namespace   string
		annotations map[string]string
		driver      string
		called      string
	}{
		"annotation":                  {"enabled", asks, "", annotated},
		"inject":                      {"enabled", defaults, "", annotated},
		"inject, a word":              {"enabled", map[string]string{v1alpha1.AnnotationInject: "False"}, "", annotated},
		"csi":                         {"enabled", nil, v1alpha1.CSIDriver, annotated},
		"both":                        {"enabled", asks, v1alpha1.CSIDriver, annotated},
		"injected":                    {"enabled", injected, "", annotated},
		"plain":                       {"enabled", nil, "", ""},
		"others' annotations":         {"enabled", others, "", ""},
		"opted out":                   {"enabled", out, v1alpha1.CSIDriver, ""},
		"mirror":                      {"enabled", mirror, "", ""},
		"always":                      {"always", nil, "", always},
		"always, others' annotations": {"always", others, "", always},
		"always, annotation":          {"always", asks, "", always},
		"always, inject":              {"always", defaults, "", always},
		"always, csi":                 {"always", nil, v1alpha1.CSIDriver, always},
		"always, injected":            {"always", injected, "", always},
		"always, opted out":           {"always", out, v1alpha1.CSIDriver, ""},
		"always, mirror":              {"always", mirror, v1alpha1.CSIDriver, ""},
		"always in kube-public":       {"kube-public", asks, v1alpha1.CSIDriver, ""},
		"annotation, no label":        {"other", asks, "", ""},
		"inject, no label":            {"other", defaults, "", ""},
		"csi, no label":               {"other", nil, v1alpha1.CSIDriver, csi},
		"both, no label":              {"other", asks, v1alpha1.CSIDriver, csi},
		"injected, no label":          {"other", injected, "", csi},
		"another driver, no label":    {"other", nil, "csi.example.com", ""},
		"plain, no label":             {"other", nil, "", ""},
		"opted out, no label":         {"other", out, v1alpha1.CSIDriver, ""},
		"mirror, no label":            {"other", mirror, v1alpha1.CSIDriver, ""},
		"csi, label of no meaning":    {"odd", nil, v1alpha1.CSIDriver, csi},
		"plain, label of no meaning":  {"odd", nil, "", ""},
		"csi in kube-system":          {"kube-system", nil, v1alpha1.CSIDriver, ""},
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
			want := s.calls(t)
			err := s.api.Create(t.Context(), pod, client.DryRunAll)
			if test.called == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, `failed calling webhook "`+test.called+`"`)
				want[test.called]++
			}
			assert.Equal(t, want, s.calls(t), "calls of webhooks")
		})
	}
	assert.NotContains(t, s.serverMetrics(t), "\napiserver_admission_match_condition_evaluation_errors_total{", "a matchCondition cannot be evaluated")
}

// calls are how often the API server has called each of our webhooks.
func (s *server) calls(t *testing.T) map[string]int {
	t.Helper()
	calls := map[string]int{annotated: 0, always: 0, csi: 0}
	for line := range strings.Lines(s.serverMetrics(t)) {
		labels, ok := strings.CutPrefix(line, "apiserver_admission_webhook_admission_duration_seconds_count{")
		if !ok {
			continue
		}
		labels, value, ok := strings.Cut(labels, "} ")
		require.True(t, ok, line)
		count, err := strconv.Atoi(strings.TrimSpace(value))
		require.NoError(t, err)
		for name := range calls {
			if strings.Contains(labels, `name="`+name+`"`) {
				calls[name] += count
			}
		}
	}
	return calls
}

func (s *server) serverMetrics(t *testing.T) string {
	t.Helper()
	set, err := kubernetes.NewForConfig(s.config)
	require.NoError(t, err)
	metrics, err := set.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	require.NoError(t, err)
	return string(metrics)
}
