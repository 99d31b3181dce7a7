package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

var _ = declare(attack{
	name: "editor_recreate", actor: editor, outcome: prevented, alone: true,
	tries: "deletes the Connector, one or all, and makes it again with his own address, or mounts the Secret that no Connector names then",
	what:  "he may not take the Secret from the Connector either",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, append(editsConnectors, createsPods...))
		err := mallory.Delete(t.Context(), s.connector())
		s.sees(err)
		refused(t, err)
		err = mallory.DeleteAllOf(t.Context(), &v1alpha1.Connector{}, client.InNamespace(s.namespace))
		s.sees(err)
		refused(t, err)
		pod := s.plain()
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: theSecret}}}}
		refused(t, s.creates(t, mallory, pod))
	},
})
