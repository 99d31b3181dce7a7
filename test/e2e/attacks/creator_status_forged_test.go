package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

var _ = declare(attack{
	name: "creator_status_forged", actor: creator, outcome: prevented,
	tries: "writes a Pod that says it is injected, with a sidecar of its own",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		pod.Annotations = s.victim.Annotations
		pod.Labels = map[string]string{v1alpha1.LabelInjected: "true"}
		require.Contains(t, pod.Annotations, v1alpha1.AnnotationStatus)
		proxy.Image = attackerImage
		refused(t, s.creates(t, mallory, pod))
	},
})
