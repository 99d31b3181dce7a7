package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_connect_elsewhere", actor: app, outcome: prevented,
	tries: "asks for a tunnel to its own server, to this cluster, or to the metadata service",
	what:  "only the Connector's host and port can be asked for",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		home := strings.TrimPrefix(bed.Clusters.Home.Address, "https://")
		for _, authority := range []string{
			strings.TrimPrefix(trap.Address, "https://"), home, "169.254.169.254:80", "127.0.0.1:17444", "$SERVER@" + home, "$SERVER.:6443", "[::1]:17444",
		} {
			request := "CONNECT " + authority + " HTTP/1.1\r\nHost: $SERVER\r\nProxy-Authorization: Basic $BASIC\r\nConnection: close\r\n\r\n"
			output, err := s.runs(t, s.victim, "app", request, "attacker", "send", "plain")
			require.NoError(t, err, output)
			rejected(t, output, request)
		}
		assert.Empty(t, trap.Received())
	},
})
