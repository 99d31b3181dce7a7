package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "stranger_reference", actor: stranger, outcome: prevented,
	tries: "names the Connector of another namespace, by annotation and by csi volume",
	what:  "the webhook refuses it",
	run: func(t *testing.T, s *scene) {
		elsewhere := bed.NewNamespace(t)
		pod := s.pod()
		pod.Namespace = elsewhere
		pod.Annotations[v1alpha1.AnnotationConnectors] = s.namespace + "/k8s-connector"
		err := bed.Home.Create(t.Context(), pod)
		s.sees(err)
		require.ErrorContains(t, err, "denied the request")
		pod = s.plain()
		pod.Namespace = elsewhere
		pod.Spec.Volumes = []corev1.Volume{{Name: "kubeconfig", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
			Driver: v1alpha1.CSIDriver, VolumeAttributes: map[string]string{v1alpha1.AttributeConnectorName: "k8s-connector", v1alpha1.AttributeConnectorNamespace: s.namespace},
		}}}}
		err = bed.Home.Create(t.Context(), pod)
		s.sees(err)
		require.ErrorContains(t, err, "denied the request")
	},
})
