package attacks

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "neighbour_ports", actor: neighbour, outcome: prevented,
	tries: "calls the sidecar over the network of the Pods, with the temporary token of its app",
	what:  "the sidecar listens on the Pod's loopback only",
	run: func(t *testing.T, s *scene) {
		pod := start(t, s.plain())
		listening := s.shell(t, s.victim, "app", "netstat -tln")
		require.Contains(t, listening, "127.0.0.1:17443")
		for _, port := range []string{"17443", "17444", "17445", "17446"} {
			output, err := s.runs(t, pod, "app", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "attacker", "send", net.JoinHostPort(s.victim.Status.PodIP, port))
			require.Error(t, err)
			assert.Contains(t, output, "connection refused")
		}
	},
})
