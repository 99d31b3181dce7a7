package attacks

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_resolv_conf", actor: app, outcome: prevented,
	tries: "makes itself the DNS server of the Pod, and says that the target is at its own server",
	what:  "that server has not the right certificate, and is sent nothing",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		_, port, err := net.SplitHostPort(strings.TrimPrefix(trap.Address, "https://"))
		require.NoError(t, err)
		s.connect(t, "by-name", "https://target.example:"+port)
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationConnectors] = "by-name"
		server := pod.Spec.Containers[1].DeepCopy()
		server.Name, server.Command = "dns", []string{"attacker", "dns", bed.Clusters.MachineIP()}
		pod.Spec.Containers = append(pod.Spec.Containers, *server)
		pod = start(t, pod)
		output, err := s.runs(t, pod, "app", "nameserver 127.0.0.1\n", "sh", "-c", "cat > /etc/resolv.conf; nslookup target.example")
		require.NoError(t, err, output)
		require.Contains(t, output, bed.Clusters.MachineIP(), "the lie is not believed")
		bed.Eventually(t, func() bool {
			return strings.Contains(s.shell(t, pod, "app", "kubectl get --raw /api"), "certificate")
		}, "the sidecar does not meet the server of the attacker")
		assert.Empty(t, trap.Received())
	},
})
