package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_sniff", actor: app, outcome: prevented,
	tries: "listens to all network interfaces of the Pod with a raw socket while the sidecar works",
	what:  "what leaves the sidecar is TLS, and what comes to it has the temporary token",
	run: func(t *testing.T, s *scene) {
		for link, evidence := range map[string]string{"lo": "CONNECT ", "eth0": "\x17\x03\x03"} {
			output, err := s.runs(t, s.victim, "app", "", "attacker", "sniff", link, "kubectl", "auth", "whoami")
			require.NoError(t, err)
			assert.Contains(t, output, evidence, "nothing is seen on "+link)
			assert.Contains(t, output, s.account)
		}
	},
})
