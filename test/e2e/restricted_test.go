package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// restrict gives a Pod what PodSecurity's level restricted wants of it.
func restrict(pod *corev1.Pod) {
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(1000)),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
}

// TestRestrictedNamespace: where PodSecurity enforces restricted, a Pod that may
// run does so with the sidecar, in every form, and uses the other cluster as an
// unprivileged user.
func TestRestrictedNamespace(t *testing.T) {
	t.Parallel()
	team := newTeamIn(t, makeNamespace(t, home, map[string]string{
		v1alpha1.LabelInjection: v1alpha1.InjectionEnabled, "pod-security.kubernetes.io/enforce": "restricted",
	}))
	err := home.Create(t.Context(), sleeper(team.namespace), client.DryRunAll)
	require.ErrorContains(t, err, `violates PodSecurity "restricted:latest"`)
	assert.NotContains(t, err.Error(), "connector-proxy", "it is the app that may not run")

	pods := map[string]*corev1.Pod{}
	for form, change := range map[string]func(*corev1.Pod){
		"annotation": func(*corev1.Pod) {},
		"in-cluster": func(pod *corev1.Pod) {
			pod.Annotations[v1alpha1.AnnotationInCluster] = "true"
			pod.Spec.Containers[0].Command = []string{"env", "-u", "KUBECONFIG", "kubectl", "auth", "whoami"}
		},
		"csi volume": func(pod *corev1.Pod) {
			pod.Annotations = nil
			pod.Spec.Volumes = []corev1.Volume{csiVolume("kube", "k8s-connector")}
			app := &pod.Spec.Containers[0]
			app.VolumeMounts = []corev1.VolumeMount{{Name: "kube", MountPath: "/opt/kube"}}
			app.Env = []corev1.EnvVar{{Name: "KUBECONFIG", Value: "/opt/kube/kubeconfig"}}
		},
	} {
		pod := sleeper(team.namespace)
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Spec.Containers[0].Command = []string{"kubectl", "auth", "whoami"}
		change(pod)
		restrict(pod)
		create(t, home, pod)
		pods[form] = pod
	}
	for form, pod := range pods {
		awaitEnd(t, pod, corev1.PodSucceeded)
		assert.Contains(t, logs(t, pod, "app"), team.user, form)
	}
}
