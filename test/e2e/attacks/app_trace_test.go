package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_trace", actor: app, outcome: prevented,
	tries: "has its request sent back, with TRACE, in a redirect or in an error",
	what:  "TRACE is refused, and what the target says of a request has no headers",
	run: func(t *testing.T, s *scene) {
		for _, method := range []string{"TRACE", "TRACK", "DEBUG", "CONNECT", "PRI"} {
			output, err := s.runs(t, s.victim, "app", method+" / HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n", "attacker", "send", "proxy")
			require.NoError(t, err, output)
			rejected(t, output, method)
		}
		s.shell(t, s.victim, "app", "kubectl get --raw /none; kubectl create -f /etc/hosts; kubectl --v=9 get pods; kubectl --context=k8s-localhost --v=9 get pods")
	},
})
