package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_shared_processes", actor: creator, outcome: prevented,
	tries: "copies an injected Pod, and lets its containers, or the node's, see each other's processes",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		yes := true
		for _, open := range []func(*corev1.PodSpec){
			func(spec *corev1.PodSpec) { spec.HostPID = true },
			func(spec *corev1.PodSpec) { spec.HostNetwork = true },
		} {
			other := pod.DeepCopy()
			open(&other.Spec)
			refused(t, s.creates(t, mallory, other))
		}
		proxy.Name = sidecar
		pod.Spec.ShareProcessNamespace = &yes
		refused(t, s.creates(t, mallory, pod))
	},
})
