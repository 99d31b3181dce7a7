package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const goldens = "../../../inject/testdata/"

// withoutWebhook is config/policy/final_state.yaml on an API server that injects
// nothing: Pods arrive there as somebody else has left them.
func withoutWebhook(t *testing.T) *policed {
	t.Helper()
	p := newPoliced(t, finalState)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, p.dryRun(t.Context(), workloads(enabled, nil, map[string]string{connectors: "a"})["Pod"])(), noSidecar)
	}, 30*time.Second, 100*time.Millisecond)
	return p
}

// refusal is what a person is told who creates a Pod, if it is refused.
func (p *policed) refusal(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	err := p.dryRun(t.Context(), pod.DeepCopy())()
	if err == nil {
		return ""
	}
	require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), err.Error())
	_, message, found := strings.Cut(err.Error(), "denied request: ")
	require.True(t, found, "not refused by the policy: %s", err)
	return message
}

// golden is a Pod as injection leaves it.
func golden(t *testing.T, name, namespace string) *corev1.Pod {
	t.Helper()
	content, err := os.ReadFile(goldens + name + ".golden.yaml")
	require.NoError(t, err)
	pod := &corev1.Pod{}
	require.NoError(t, yaml.Unmarshal(content, pod))
	pod.Namespace = namespace
	return pod
}

func TestFinalState(t *testing.T) {
	p := withoutWebhook(t)
	t.Run("what injection makes", func(t *testing.T) { testInjectedPods(t, p) })
	t.Run("what others broke", func(t *testing.T) { testBrokenPods(t, p) })
	t.Run("not injected", func(t *testing.T) { testUninjectedPods(t, p) })
	t.Run("the largest Pod", func(t *testing.T) {
		// It is refused if that costs the API server more than it has for a policy.
		pod := largePod(t)
		assert.Empty(t, p.refusal(t, pod))
		last := &pod.Spec.Containers[len(pod.Spec.Containers)-1]
		last.VolumeMounts = slices.Clone(last.VolumeMounts) // the others' is the same
		last.VolumeMounts[1].ReadOnly = false
		assert.Contains(t, p.refusal(t, pod), "container app-129 could write into the kubeconfig of others")
	})
}

// No Pod that injection makes is refused, in whatever namespace.
func testInjectedPods(t *testing.T, p *policed) {
	t.Helper()
	files, err := filepath.Glob(goldens + "*.golden.yaml")
	require.NoError(t, err)
	injected := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".golden.yaml")
		for _, namespace := range []string{enabled, always, unlabelled} {
			pod := golden(t, name, namespace)
			if pod.Annotations[v1alpha1.AnnotationStatus] == "" {
				break
			}
			injected++
			// These the API server refuses by itself, here or at all.
			pod.Spec.EphemeralContainers, pod.Spec.RuntimeClassName, pod.Spec.Overhead = nil, nil, nil
			assert.Empty(t, p.refusal(t, pod), "%s in %s", name, namespace)
		}
	}
	assert.Greater(t, injected, 100)
}

func testBrokenPods(t *testing.T, p *policed) {
	t.Helper()
	newPod := func() *corev1.Pod { return golden(t, "csi-and-annotation", enabled) }
	for name, tc := range broken {
		t.Run(name, func(t *testing.T) {
			pod := newPod()
			tc.change(pod, &pod.Spec.InitContainers[0])
			told := p.refusal(t, pod)
			assert.True(t, strings.HasPrefix(told, tc.want), "wanted: %s\ntold: %s", tc.want, told)
			ends := tc.ends
			if ends == "" {
				ends = remedy
			}
			assert.True(t, strings.HasSuffix(told, ends), told)
		})
	}
	for name, change := range harmless {
		t.Run(name, func(t *testing.T) {
			pod := newPod()
			change(pod, &pod.Spec.InitContainers[0])
			assert.Empty(t, p.refusal(t, pod))
		})
	}
	t.Run("what in-cluster clients read", func(t *testing.T) {
		pod := golden(t, "in-cluster", enabled)
		withoutMount("/var/run/connector-proxy/in-cluster")(pod, &pod.Spec.InitContainers[0])
		assert.Contains(t, p.refusal(t, pod), "at /var/run/connector-proxy/in-cluster;")
		pod = golden(t, "in-cluster", enabled)
		for i := range pod.Spec.Containers[0].VolumeMounts {
			pod.Spec.Containers[0].VolumeMounts[i].ReadOnly = false
		}
		assert.Contains(t, p.refusal(t, pod), "container main could write")
	})
	t.Run("by csi volume alone, where nothing is labelled", func(t *testing.T) {
		pod := golden(t, "csi", unlabelled)
		pod.Spec.InitContainers = nil
		assert.Contains(t, p.refusal(t, pod), noSidecar)
	})
}

// Pods that have no sidecar, or one that injection does not answer for.
func testUninjectedPods(t *testing.T, p *policed) {
	t.Helper()
	asks := map[string]string{connectors: "a"}
	defaults := map[string]string{v1alpha1.AnnotationInject: "true"}
	injected := map[string]string{v1alpha1.AnnotationStatus: "{}"}
	out := map[string]string{connectors: "a", v1alpha1.AnnotationInject: "false", v1alpha1.AnnotationStatus: "{}"}
	mirror := map[string]string{connectors: "a", corev1.MirrorPodAnnotationKey: "x"}
	const system = metav1.NamespaceSystem
	for name, tc := range map[string]struct {
		namespace   string
		annotations map[string]string
		csi         bool
		refused     bool
	}{
		"asked":                    {enabled, asks, false, true},
		"asked for defaults":       {enabled, defaults, false, true},
		"asked by csi":             {enabled, nil, true, true},
		"injected":                 {enabled, injected, false, true},
		"asked, always":            {always, asks, false, true},
		"injected, always":         {always, injected, false, true},
		"asked by csi, no label":   {unlabelled, nil, true, true},
		"injected, no label":       {unlabelled, injected, false, true},
		"plain":                    {enabled, nil, false, false},
		"inject: false":            {enabled, out, true, false},
		"mirror":                   {enabled, mirror, true, false},
		"skipped, always":          {always, nil, false, false}, // as for hostNetwork
		"asked, no label":          {unlabelled, asks, false, false},
		"asked, label misspelt":    {mislabeled, defaults, false, false},
		"inject: false, no label":  {unlabelled, out, true, false},
		"of the system":            {system, asks, true, false},
		"of the system, injected":  {system, injected, false, false},
		"an annotation of nothing": {enabled, map[string]string{typo: "a", "connectors": "a"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := workloads(tc.namespace, nil, tc.annotations)["Pod"].(*corev1.Pod)
			pod.Spec.NodeName = "node"
			if tc.namespace == system {
				pod.Spec.AutomountServiceAccountToken = new(false)
			}
			if tc.csi {
				pod.Spec.Volumes = []corev1.Volume{{Name: "kube", VolumeSource: csiSource()}}
			}
			told := p.refusal(t, pod)
			if !tc.refused {
				assert.Empty(t, told)
				return
			}
			assert.True(t, strings.HasPrefix(told, noSidecar), told)
		})
	}
	for _, namespace := range []string{enabled, always, unlabelled} {
		t.Run("a copy of an injected Pod in "+namespace, func(t *testing.T) {
			// What kubectl debug --copy-to makes of it.
			pod := golden(t, "csi-and-annotation", namespace)
			pod.Annotations, pod.Labels = nil, nil
			pod.Spec.ShareProcessNamespace = new(true)
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "debugger", Image: "debugger"})
			assert.Empty(t, p.refusal(t, pod))
		})
	}
}

// largePod is an injected Pod of more than a megabyte: 16 Connectors, and 260
// containers with 62 mounts each.
func largePod(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := golden(t, "csi-and-annotation", enabled)
	sidecar := &pod.Spec.InitContainers[0]
	for i := range 14 {
		name := fmt.Sprintf("connector-%d", i)
		volume := corev1.Volume{Name: fmt.Sprintf("connectors-credentials-%d", i+2), VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}
		pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
		sidecar.Args = append(sidecar.Args, "--connector=team-a/"+name+"=https://192.168.1.100:6443")
		sidecar.VolumeMounts = append(sidecar.VolumeMounts, corev1.VolumeMount{
			Name: volume.Name, MountPath: "/var/run/connector-proxy/credentials/team-a/" + name, ReadOnly: true,
		})
	}
	app := pod.Spec.Containers[0]
	for i := range 60 {
		name := fmt.Sprintf("volume-%d", i)
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name})
		app.VolumeMounts = append(app.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/mnt/" + name})
	}
	for i := range 130 {
		app.Name = fmt.Sprintf("app-%d", i)
		pod.Spec.Containers = append(pod.Spec.Containers, app)
		app.Name = fmt.Sprintf("init-%d", i)
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, app)
	}
	return pod
}
