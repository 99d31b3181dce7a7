package inject_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// What is replaced is what was looked at.
func TestInClusterMountIsReplacedOnlyIfItIsThat(t *testing.T) {
	c := readCase(t, "testdata/in-cluster-automounted.in.yaml")
	result, err := c.plan(c.pod)
	require.NoError(t, err)
	patch, err := evanphx.DecodePatch(marshal(t, result.Patch))
	require.NoError(t, err)
	_, err = patch.Apply(c.pod)
	require.NoError(t, err)
	_, err = patch.Apply(bytes.ReplaceAll(c.pod, []byte("kube-api-access-x"), []byte("kube-api-access-y")))
	require.ErrorContains(t, err, "test")
}

// A container that another webhook adds after the first admission is one of the
// Pod's, too. The others are left alone.
func TestInClusterForAContainerThatComesLater(t *testing.T) {
	pod, c := injected(t, "in-cluster-automounted")
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late", VolumeMounts: []corev1.VolumeMount{
		{Name: "kube-api-access-x", MountPath: serviceAccountDir, ReadOnly: true},
	}})
	result, err := c.plan(marshal(t, pod))
	require.NoError(t, err)
	for _, op := range result.Patch {
		assert.True(t, strings.HasPrefix(op.Path, "/spec/containers/2/"), op.Path)
	}
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], `container "late"`)
	var after corev1.Pod
	require.NoError(t, json.Unmarshal(apply(t, marshal(t, pod), result.Patch), &after))
	late, main := after.Spec.Containers[2], after.Spec.Containers[0]
	assert.Contains(t, late.VolumeMounts, main.VolumeMounts[1])
	assert.Equal(t, main.Env[:3], late.Env[:3])
}

// The kubelet would look for the API server elsewhere, or the sidecar not be
// there: the Pod is refused or put right.
func TestInClusterIsKept(t *testing.T) {
	sidecar := func(pod *corev1.Pod) *corev1.Container { return &pod.Spec.InitContainers[0] }
	for name, test := range map[string]struct {
		want   string // "" if it is put right
		change func(pod *corev1.Pod)
	}{
		"the sidecar's port":     {"with args", func(pod *corev1.Pod) { sidecar(pod).Args[4] = "--in-cluster-port=18083" }},
		"the sidecar's argument": {"with args", func(pod *corev1.Pod) { sidecar(pod).Args = sidecar(pod).Args[:4] }},
		"the sidecar's mount": {"with other mounts", func(pod *corev1.Pod) {
			sidecar(pod).VolumeMounts = slices.DeleteFunc(sidecar(pod).VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "connectors-in-cluster" })
		}},
		"a writable mount": {"which is the sidecar's", func(pod *corev1.Pod) { pod.Spec.Containers[0].VolumeMounts[1].ReadOnly = false }},
		"a variable": {"sets KUBERNETES_SERVICE_HOST itself", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Env[0].Value = "api.example.com"
		}},
		"a variable set twice": {"sets KUBERNETES_SERVICE_PORT itself", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: "443"})
		}},
		"the mount put back":   {"", func(pod *corev1.Pod) { pod.Spec.Containers[0].VolumeMounts[1].Name = "kube-api-access-x" }},
		"the variables away":   {"", func(pod *corev1.Pod) { pod.Spec.Containers[0].Env = nil }},
		"one variable away":    {"", func(pod *corev1.Pod) { pod.Spec.Containers[0].Env = pod.Spec.Containers[0].Env[1:] }},
		"the mount taken away": {"", func(pod *corev1.Pod) { pod.Spec.Containers[1].VolumeMounts = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			pod, c := injected(t, "in-cluster-automounted")
			want := pod.DeepCopy()
			test.change(pod)
			result, err := c.plan(marshal(t, pod))
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			var after corev1.Pod
			require.NoError(t, json.Unmarshal(apply(t, marshal(t, pod), result.Patch), &after))
			for i := range after.Spec.Containers {
				for _, env := range want.Spec.Containers[i].Env {
					if strings.HasPrefix(env.Name, "KUBERNETES_") {
						assert.Contains(t, after.Spec.Containers[i].Env, env)
					}
				}
				assert.ElementsMatch(t, want.Spec.Containers[i].VolumeMounts, after.Spec.Containers[i].VolumeMounts)
			}
		})
	}
}
