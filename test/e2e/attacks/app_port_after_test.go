package attacks

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_port_after", actor: app, outcome: harmless,
	tries: "takes the sidecar's ports when that has died, to receive what others send there",
	what:  "it receives what it could read before, the temporary token; who checks the CA talks to nobody",
	run: func(t *testing.T, s *scene) {
		pod := s.pod()
		thief := pod.Spec.Containers[1].DeepCopy()
		thief.Name, thief.Command = "thief", []string{"attacker", "steal"}
		pod.Spec.Containers = append(pod.Spec.Containers, *thief)
		pod = start(t, pod)
		s.works(t, pod)
		require.NoError(t, syscall.Kill(bed.ProcessOf(t, pod, sidecar), syscall.SIGKILL))
		bed.Eventually(t, func() bool {
			if strings.Count(s.reads(t, pod, "thief"), "taken:") == 2 {
				return true
			}
			now := bed.AwaitPod(t, pod, "there", func(*corev1.Pod) bool { return true })
			if state := now.Status.InitContainerStatuses[0].State; state.Running != nil && now.Status.InitContainerStatuses[0].RestartCount > 0 {
				_ = syscall.Kill(bed.ProcessOf(t, now, sidecar), syscall.SIGKILL) // the sidecar was faster
			}
			return false
		}, "the ports cannot be taken")
		for _, context := range []string{"k8s", "k8s-localhost"} {
			output := s.shell(t, pod, "app", "kubectl --context="+context+" auth whoami")
			assert.Contains(t, output, "failed to verify certificate")
		}
		assert.Contains(t, s.reads(t, pod, "thief"), "Proxy-Authorization: Basic ", "it has received something")
	},
})
