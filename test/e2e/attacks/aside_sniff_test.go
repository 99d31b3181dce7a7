package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "aside_sniff", actor: aside, outcome: notPrevented,
	tries: "listens to the loopback interface, as root with NET_RAW, until the app calls the sidecar",
	what:  "it gets the temporary token, and can do what the app can, in this Pod: do not grant NET_RAW (PodSecurity `restricted`)",
	run: func(t *testing.T, s *scene) {
		pod := start(t, s.pod())
		const script = "mkfifo /tmp/enough; echo ready > /tmp/ready; read line < /tmp/enough"
		heard := make(chan string, 1)
		go func() {
			output, err := bed.Execute(t, pod, "aside", "", "attacker", "sniff", "lo", "sh", "-c", script)
			heard <- fmt.Sprintln(output, err)
		}()
		bed.Eventually(t, func() bool { return s.shell(t, pod, "aside", "cat /tmp/ready") == "ready\n" }, "it does not listen")
		s.works(t, pod)
		s.shell(t, pod, "aside", "echo > /tmp/enough")
		output := <-heard
		s.sees(output)
		_, basic, found := strings.Cut(output, "Proxy-Authorization: Basic ")
		require.True(t, found, "nothing is seen")
		basic, _, _ = strings.Cut(basic, "\r\n")
		request := "CONNECT " + strings.TrimPrefix(bed.Clusters.Target.Address, "https://") + " HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + basic + "\r\n\r\nx"
		output, err := s.runs(t, pod, "aside", request, "attacker", "send", "plain")
		require.NoError(t, err)
		assert.Contains(t, output, "HTTP/1.1 200")
	},
})
