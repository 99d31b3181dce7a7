package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_absolute_form", actor: app, outcome: prevented,
	tries: "uses the sidecar as an ordinary proxy: GET https://elsewhere/",
	what:  "the request is refused, and goes nowhere",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		elsewhere := strings.TrimPrefix(trap.Address, "https://")
		for _, target := range []string{trap.Address, "http://" + elsewhere, "https://$SERVER/api", "/api"} {
			request := "GET " + target + " HTTP/1.1\r\nHost: " + elsewhere + "\r\nProxy-Authorization: Basic $BASIC\r\nConnection: close\r\n\r\n"
			output, err := s.runs(t, s.victim, "app", request, "attacker", "send", "plain")
			require.NoError(t, err, output)
			rejected(t, output, request)
		}
		assert.Empty(t, trap.Received())
	},
})
