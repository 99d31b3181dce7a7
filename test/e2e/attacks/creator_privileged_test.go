package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_privileged", actor: creator, outcome: notPrevented,
	tries: "makes a privileged Pod that sees the node's processes, where PodSecurity allows it",
	what:  "it is root on the node: [enforce PodSecurity `baseline`](#privileged-pods-and-the-node), which refuses it",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		yes := true
		pod.Spec.HostPID = true
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64), Privileged: &yes}
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		output, _ := bed.Execute(t, pod, "app", "", "sh", "-c", "cat /proc/[0-9]*/root/var/run/connector-proxy/credentials/"+s.namespace+"/k8s-connector/token")
		assert.Contains(t, output, s.token)
		s.underPodSecurity(t, pod)
	},
})
