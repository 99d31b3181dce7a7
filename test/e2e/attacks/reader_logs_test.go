package attacks

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "reader_logs", actor: reader, outcome: prevented,
	tries: "reads all logs: of the sidecar at its most talkative, of the controller and of the webhook",
	what:  "the token is in none, nor is the temporary one",
	run: func(t *testing.T, s *scene) {
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationLogLevel] = "debug"
		pod = start(t, pod)
		s.works(t, pod)
		s.shell(t, pod, "app", "kubectl --context=k8s-localhost get pods; kubectl get --raw /none; kubectl --token=x get pods")
		temporary, err := bed.Execute(t, pod, "app", "", "sed", "-n", `s#.*proxy-url: "http://[^:]*:\([^@]*\)@.*#\1#p`, kubeconfig)
		require.NoError(t, err)
		temporary, _, _ = strings.Cut(temporary, "\n")
		require.NotEmpty(t, temporary)
		log := s.reads(t, pod, sidecar)
		assert.Contains(t, log, `"msg":"request"`)
		assert.NotContains(t, log, temporary)
		mallory := s.everywhere(t, []rbacv1.PolicyRule{may("", "pods", "list"), may("", "pods/log", "get")})
		pods, err := mallory.set.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, other := range pods.Items {
			for _, c := range slices.Concat(other.Spec.InitContainers, other.Spec.Containers) {
				content, _ := mallory.set.CoreV1().Pods(other.Namespace).GetLogs(other.Name, &corev1.PodLogOptions{Container: c.Name}).DoRaw(t.Context())
				s.sees(string(content))
			}
		}
		assert.Contains(t, s.seen.String(), "connector-controller")
	},
})
