package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "app_rights", actor: app, outcome: notPrevented,
	tries: "uses the rights of the token while it runs",
	what:  "it can do at the target what the token may do: [give the token little](#give-the-token-little)",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", "kubectl get namespaces; kubectl auth whoami")
		assert.Contains(t, output, "kube-system")
		assert.Contains(t, output, s.account)
		assert.Contains(t, s.shell(t, s.victim, "app", "kubectl get secrets -A"), "Forbidden")
	},
})
