package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// TestStreams: kubectl's logs, exec and cp reach a Pod on a real node through
// the sidecar, in both contexts, and so does what the API server redirects. The Connector points at its own cluster, under another identity.
func TestStreams(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Home.Address, clusters.Home.CA, newIdentity(t, home, "cluster-admin").Token(t))
	other := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: namespace},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "app", Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
				Command: []string{"sh", "-c", "echo hello from the other Pod; mkdir /tmp/www; echo a page > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"},
			}},
		},
	}
	create(t, home, other)
	awaitPod(t, other, "running", running)
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	for name, test := range map[string]struct{ stdin, command, want string }{
		"logs":                 {"", "kubectl logs other", "hello from the other Pod"},
		"exec":                 {"", "kubectl exec other -- hostname", "other"},
		"exec with stdin":      {"through both\n", "kubectl exec -i other -- cat", "through both"},
		"exec's exit code":     {"", "kubectl exec other -- sh -c 'exit 7'; echo code $?", "code 7"},
		"exec over SPDY":       {"", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false kubectl exec other -- hostname", "other"},
		"cp":                   {"", "kubectl cp other:/etc/hostname /tmp/name && cat /tmp/name", "other"},
		"watch that times out": {"", "kubectl get pods -w --request-timeout=2s; echo ended", "ended"},
		"redirect":             {"", "kubectl get --raw /api/v1/namespaces/" + namespace + "/pods/other:8080/proxy", "a page"},
	} {
		for _, context := range contexts {
			t.Run(name+", "+context, func(t *testing.T) {
				command := strings.ReplaceAll(test.command, "kubectl ", "kubectl --context="+context+" ")
				output, err := execute(t, pod, "app", test.stdin, "sh", "-c", command)
				require.NoError(t, err, output)
				assert.Contains(t, output, test.want)
			})
		}
	}
}
