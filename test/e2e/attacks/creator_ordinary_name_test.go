package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_ordinary_name", actor: creator, outcome: prevented,
	tries: "gives its volume the name that injection uses",
	what:  "the Pod is refused: without an intact sidecar no volume has the token",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			name := "loot"
			if secret == theSecret {
				name = "connectors-credentials-0"
			}
			pod.Spec.Volumes = []corev1.Volume{{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Items: []corev1.KeyToPath{{Key: "token", Path: "token"}},
				}},
			}}}}}
			pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: name, MountPath: "/loot"}}
			return pod
		})
	},
})
