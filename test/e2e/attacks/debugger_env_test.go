package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "debugger_env", actor: debugger, outcome: prevented,
	tries: "adds an ephemeral container that has the Secret as its environment",
	what:  "it is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		var pod corev1.Pod
		require.NoError(t, mallory.Get(t.Context(), client.ObjectKeyFromObject(s.victim), &pod))
		container := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debugger", Image: attackerImage, ImagePullPolicy: corev1.PullNever, Command: []string{"sleep", "3600"},
		}}
		add := func(c corev1.EphemeralContainer) error {
			changed := pod.DeepCopy()
			changed.Spec.EphemeralContainers = append(changed.Spec.EphemeralContainers, c)
			_, err := mallory.set.CoreV1().Pods(s.namespace).UpdateEphemeralContainers(t.Context(), pod.Name, changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			s.sees(err)
			return err
		}
		ordinary := container
		ordinary.TargetContainerName = "app"
		require.NoError(t, add(ordinary), "the app may be debugged")

		container.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: theSecret}}}}
		refused(t, add(container))
		container.EnvFrom = nil
		container.Env = []corev1.EnvVar{{Name: "LOOT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: theSecret}, Key: "token",
		}}}}
		refused(t, add(container))
	},
})
