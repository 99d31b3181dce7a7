package attacks

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_hosts", actor: app, outcome: prevented,
	tries: "writes into /etc/hosts, which it shares with the sidecar, that the target is at its own server",
	what:  "that server has not the right certificate, and is sent nothing",
	run: func(t *testing.T, s *scene) {
		const name = "kubernetes" // of the target's certificate; only this Pod can look it up
		certificate, _ := testkit.Certificate(t, name, time.Now().Add(time.Hour))
		ip, port, err := net.SplitHostPort(strings.TrimPrefix(bed.Clusters.Target.Address, "https://"))
		require.NoError(t, err)
		impostor := bed.NewTrapAs(t, port, certificate, bed.Silent)
		s.connect(t, "by-hosts", "https://"+name+":"+port)
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationConnectors] = "by-hosts"
		pod.Spec.HostAliases = []corev1.HostAlias{{IP: ip, Hostnames: []string{name}}}
		pod = start(t, pod)
		point := func(to string) {
			output, err := s.runs(t, pod, "app", to+"\t"+name+"\n", "sh", "-c", "cat > /etc/hosts")
			require.NoError(t, err, output)
		}

		point(bed.Clusters.MachineIP())
		for _, context := range []string{"k8s", "k8s-localhost"} {
			// Before, the CA of the Connector may not have arrived.
			var seen struct{ output string }
			bed.Eventually(t, func() bool {
				seen.output = s.shell(t, pod, "app", "kubectl --context="+context+" get --raw /api")
				return strings.Contains(seen.output, "the certificate of "+name+":"+port+" is signed by an unknown authority")
			}, "%s does not say who answered, but %v", context, &seen)
		}
		assert.NotZero(t, impostor.Calls())
		assert.Empty(t, impostor.Received(), "the impostor was sent a request")
		s.reads(t, pod, sidecar)
		point(ip)
		var seen struct{ output string }
		bed.Eventually(t, func() bool {
			seen.output = s.shell(t, pod, "app", "kubectl auth whoami")
			return strings.Contains(seen.output, s.account)
		}, "the real server is not found again, but %v", &seen)
	},
})
