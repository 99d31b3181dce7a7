package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_env", actor: creator, outcome: prevented,
	tries: "takes the token as an environment variable",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "LOOT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "token",
			}}}}
			return pod
		})
	},
})
