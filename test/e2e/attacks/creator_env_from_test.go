package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_env_from", actor: creator, outcome: prevented,
	tries: "takes the whole Secret as its environment",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}
			return pod
		})
	},
})
