package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_verbatim_copy", actor: creator, outcome: harmless,
	tries: "copies an injected Pod, with an app of its own",
	what:  "it has what any Pod of the namespace can ask for: an intact sidecar",
	run: func(t *testing.T, s *scene) {
		pod := s.copyOf(s.victim)
		pod.Spec.Containers[0].Command = []string{"sleep", "3601"}
		require.NoError(t, s.creates(t, s.person(t, createsPods), pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		assert.Empty(t, bed.Search(t, pod, "app", s.patterns()...))
		s.works(t, pod)
	},
})
