package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_ordinary_container", actor: creator, outcome: prevented,
	tries: "makes the sidecar an ordinary container, beside an init container of its own",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		c := *proxy
		c.RestartPolicy = nil
		pod.Spec.Containers = append(pod.Spec.Containers, c)
		pod.Spec.InitContainers[0] = pod.Spec.Containers[1]
		pod.Spec.InitContainers[0].Name, pod.Spec.InitContainers[0].Command = "first", []string{"true"}
		refused(t, s.creates(t, mallory, pod))
	},
})
