package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_hook", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with hooks of its own",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		proxy.Lifecycle.PostStart.Exec.Command = []string{"/sidecar", "run", "--unsealed"}
		refused(t, s.creates(t, mallory, pod))
	},
})
