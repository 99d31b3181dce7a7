package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_init_container", actor: creator, outcome: prevented,
	tries: "brings the Secret into an init container only",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			thief := pod.Spec.Containers[1].DeepCopy()
			thief.Name, thief.Command = "thief", []string{"env"}
			thief.Env = []corev1.EnvVar{{Name: "LOOT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "token",
			}}}}
			pod.Spec.InitContainers = []corev1.Container{*thief}
			return pod
		})
	},
})
