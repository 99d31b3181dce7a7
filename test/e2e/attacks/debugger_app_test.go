package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "debugger_app", actor: debugger, outcome: notPrevented,
	tries: "runs commands in the app, with its kubeconfig",
	what:  "he can do at the target what the app can: grant `pods/exec` to whom you would give that",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		output, err := bed.ExecuteAs(t, mallory.config, s.victim, "app", "", "kubectl", "auth", "whoami")
		s.sees(output, err)
		require.NoError(t, err)
		assert.Contains(t, output, s.account)
	},
})
