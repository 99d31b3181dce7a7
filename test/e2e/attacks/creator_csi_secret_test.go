package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var _ = declare(attack{
	name: "creator_csi_secret", actor: creator, outcome: prevented,
	tries: "has the Secret handed to a CSI driver",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			pod.Spec.Volumes = []corev1.Volume{{Name: "loot", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
				Driver: "secrets-store.csi.k8s.io", NodePublishSecretRef: &corev1.LocalObjectReference{Name: secret},
			}}}}
			pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "loot", MountPath: "/loot"}}
			return pod
		})
	},
})
