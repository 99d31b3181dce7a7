package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_security_context", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with root, capabilities or a writable root",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		for _, weaken := range []func(*corev1.SecurityContext){
			func(c *corev1.SecurityContext) { c.RunAsUser, c.RunAsNonRoot = new(int64), new(bool) },
			func(c *corev1.SecurityContext) {
				c.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"SYS_PTRACE"}}
			},
			func(c *corev1.SecurityContext) { c.ReadOnlyRootFilesystem = new(bool) },
			func(c *corev1.SecurityContext) { c.SeccompProfile = nil },
		} {
			other := pod.DeepCopy()
			weaken(other.Spec.InitContainers[0].SecurityContext)
			refused(t, s.creates(t, mallory, other))
		}
		yes := true
		proxy.SecurityContext.Privileged, proxy.SecurityContext.AllowPrivilegeEscalation = &yes, &yes
		refused(t, s.creates(t, mallory, pod))
	},
})
