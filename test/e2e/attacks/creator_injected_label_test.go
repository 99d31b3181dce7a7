package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

var _ = declare(attack{
	name: "creator_injected_label", actor: creator, outcome: prevented,
	tries: "says that its Pod is injected already, by its label, and mounts the Secret",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		s.refusesSecret(t, func(secret string) *corev1.Pod {
			pod := s.plain()
			pod.Labels = map[string]string{v1alpha1.LabelInjected: "true"}
			pod.Spec.Volumes = []corev1.Volume{{Name: "loot", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}}
			return pod
		})
	},
})
