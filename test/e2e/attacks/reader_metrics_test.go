package attacks

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "reader_metrics", actor: reader, outcome: prevented,
	tries: "reads the metrics of the webhook, the controller and the API server",
	what:  "the token is in none, nor is the name of its Secret in ours",
	run: func(t *testing.T, s *scene) {
		mallory := s.everywhere(t, []rbacv1.PolicyRule{
			may("", "pods", "list"), {NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
		})
		content, err := mallory.set.CoreV1().RESTClient().Get().AbsPath("/metrics").Do(t.Context()).Raw()
		require.NoError(t, err)
		s.sees(string(content))
		var pods corev1.PodList
		require.NoError(t, bed.Home.List(t.Context(), &pods, client.InNamespace("connectors-system")))
		read := 0
		for _, pod := range pods.Items {
			for _, port := range pod.Spec.Containers[0].Ports {
				output := s.shell(t, s.victim, "aside", fmt.Sprintf("wget -q -O - http://%s/metrics", net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))))
				if strings.Contains(output, "# TYPE") {
					read++
					assert.NotContains(t, output, theSecret)
				}
			}
		}
		assert.GreaterOrEqual(t, read, 2, "no metrics are read")
	},
})
