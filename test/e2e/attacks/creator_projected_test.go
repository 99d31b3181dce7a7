package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_projected", actor: creator, outcome: prevented,
	tries: "mounts the Secret as one source of many in a projected volume",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			pod.Spec.Volumes = []corev1.Volume{{Name: "loot", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}},
			}}}}}
			pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "loot", MountPath: "/loot"}}
			return pod
		})
	},
})
