package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_inner_host", actor: app, outcome: prevented,
	tries: "names another server in the Host of a request inside the tunnel",
	what:  "the request is refused, and goes nowhere",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		elsewhere := strings.TrimPrefix(trap.Address, "https://")
		for _, request := range []string{
			"GET /api HTTP/1.1\r\nHost: " + elsewhere + "\r\nConnection: close\r\n\r\n",
			"GET " + trap.Address + "/api HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n",
			"GET " + trap.Address + "/api HTTP/1.1\r\nHost: " + elsewhere + "\r\nConnection: close\r\n\r\n",
			"GET //" + elsewhere + "/api HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n",
			"GET @" + elsewhere + "/api HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n",
			"GET /api HTTP/1.1\r\nHost: $SERVER\r\nHost: " + elsewhere + "\r\nConnection: close\r\n\r\n",
		} {
			output, err := s.runs(t, s.victim, "app", request, "attacker", "send", "proxy")
			require.NoError(t, err, output)
			rejected(t, output, request)
		}
		assert.Empty(t, trap.Received())
	},
})
