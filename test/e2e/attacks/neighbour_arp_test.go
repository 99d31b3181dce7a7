package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "neighbour_arp", actor: neighbour, outcome: prevented,
	tries: "tells the other Pod that the way to the target leads through it (ARP), and reads what comes",
	what:  "what comes is TLS with the target's certificate",
	run: func(t *testing.T, s *scene) {
		victim := start(t, s.pod())
		gateway := strings.TrimSpace(s.shell(t, victim, "app", "ip route | awk '/^default/ {print $3}'"))
		require.NotEmpty(t, gateway)
		pod := s.plain()
		pod.Spec.Containers[0].Command = []string{"attacker", "arp", victim.Status.PodIP, gateway}
		pod = start(t, pod)
		var seen struct{ output string }
		bed.Eventually(t, func() bool {
			seen.output = s.shell(t, victim, "app", "kubectl get --raw /api --request-timeout=1s; ip neigh; ip route; cat /proc/net/arp") + s.reads(t, pod, "app")
			return strings.Contains(seen.output, "caught: ")
		}, "nothing can be caught: %v", &seen)
		s.reads(t, pod, "app")
		require.NoError(t, bed.Home.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
		bed.Eventually(t, func() bool {
			return strings.Contains(s.shell(t, victim, "app", "kubectl auth whoami --request-timeout=5s"), s.account)
		}, "the way to the target is not found again")
	},
})
