package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_port_first", actor: creator, outcome: prevented,
	tries: "has a sidecar of its own take the ports before the real one",
	what:  "the real one is always the first to start",
	run: func(t *testing.T, s *scene) {
		pod := s.pod()
		thief := pod.Spec.Containers[1].DeepCopy()
		always := corev1.ContainerRestartPolicyAlways
		thief.Name, thief.Command, thief.RestartPolicy = "thief", []string{"attacker", "steal"}, &always
		pod.Spec.InitContainers = []corev1.Container{*thief}
		require.NoError(t, s.creates(t, s.person(t, createsPods), pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		require.Equal(t, sidecar, pod.Spec.InitContainers[0].Name)
		s.works(t, pod)
		assert.NotContains(t, s.reads(t, pod, "thief"), "taken")
	},
})
