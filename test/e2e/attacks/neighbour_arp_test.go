package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "neighbour_arp", actor: neighbour, outcome: prevented,
	tries: "tells the other Pod that the way to the target leads through it (ARP), and reads what comes",
	what:  "what comes is TLS with the target's certificate, if anything comes: where Pods share no link, as in the network of this test, nothing does",
	run: func(t *testing.T, s *scene) {
		victim := start(t, s.pod())
		gateway := strings.TrimSpace(s.shell(t, victim, "app", "ip route | awk '/^default/ {print $3}'"))
		require.NotEmpty(t, gateway)
		pod := s.plain()
		pod.Spec.Containers[0].Command = []string{"attacker", "arp", victim.Status.PodIP, gateway}
		pod = start(t, pod)
		for range 5 {
			output := s.shell(t, victim, "app", "kubectl auth whoami --request-timeout=5s")
			require.Contains(t, output, s.account, "the attacker is in the way: %s", s.reads(t, pod, "app"))
		}
		require.Contains(t, s.reads(t, pod, "app"), "claims "+gateway)
	},
})
