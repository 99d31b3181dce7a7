package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "neighbour_loopback", actor: neighbour, outcome: prevented,
	tries: "sends packets for 127.0.0.1 to the other Pod",
	what:  "the kernel takes none from outside",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		pod.Spec.Containers[0].SecurityContext.Capabilities.Add = append(pod.Spec.Containers[0].SecurityContext.Capabilities.Add, "NET_ADMIN")
		pod = start(t, pod)
		output := s.shell(t, pod, "app", "ip route add 127.0.0.2/32 via "+s.victim.Status.PodIP+" dev eth0; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via "+s.victim.Status.PodIP+
			" dev eth0; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; nc -w 2 127.0.0.1 17443 < /dev/null && echo reached")
		assert.NotContains(t, output, "reached")
	},
})
