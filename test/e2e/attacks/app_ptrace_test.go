package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_ptrace", actor: app, outcome: prevented,
	tries: "attaches to every process it sees as a debugger would",
	what:  "the sidecar is not among them",
	run: func(t *testing.T, s *scene) {
		output, err := s.runs(t, s.victim, "app", "", "attacker", "ptrace")
		require.NoError(t, err, output)
		assert.Contains(t, output, "sleep 60 : memory <nil>, attach <nil>", "it cannot even trace what is its own")
		assert.NotContains(t, output, "/sidecar")
	},
})
