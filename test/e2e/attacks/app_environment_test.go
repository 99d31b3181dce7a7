package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "app_environment", actor: app, outcome: prevented,
	tries: "reads its environment, and that of every process it sees",
	what:  "the token is in none",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", "env; cat /proc/[0-9]*/environ")
		assert.Contains(t, output, "KUBECONFIG="+kubeconfig)
	},
})
