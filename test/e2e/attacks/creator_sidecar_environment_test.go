package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_sidecar_environment", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with an environment that has other certificates trusted, or memory dumped",
	what:  "the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, s.copyOf(s.victim), client.DryRunAll), "an intact copy is nobody's business")
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		require.Equal(t, sidecar, proxy.Name)
		for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOTRACEBACK", "LD_PRELOAD"} {
			other := pod.DeepCopy()
			other.Spec.InitContainers[0].Env = append(other.Spec.InitContainers[0].Env, corev1.EnvVar{Name: name, Value: "/var/run/connector-proxy/kubeconfig"})
			refused(t, s.creates(t, mallory, other))
		}
		proxy.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "mine"}}}}
		refused(t, s.creates(t, mallory, pod))
	},
})
