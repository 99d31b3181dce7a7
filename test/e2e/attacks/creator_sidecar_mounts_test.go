package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_sidecar_mounts", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with its state in a volume that another container has",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		for i := range proxy.VolumeMounts {
			if proxy.VolumeMounts[i].Name == "connectors-state" {
				proxy.VolumeMounts[i].Name = "connectors-kubeconfig"
			}
		}
		refused(t, s.creates(t, mallory, pod))
	},
})
