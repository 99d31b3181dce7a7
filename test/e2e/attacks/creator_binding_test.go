package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_binding", actor: creator, outcome: prevented,
	tries: "binds a Pod to a node itself, and brings annotations of injection along",
	what:  "the Binding is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, append([]rbacv1.PolicyRule{may("", "pods/binding,bindings", "create")}, createsPods...))
		pod := s.plain()
		pod.Spec.SchedulerName = "nobody"
		require.NoError(t, s.creates(t, mallory, pod))
		var nodes corev1.NodeList
		require.NoError(t, bed.Home.List(t.Context(), &nodes))
		binding := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Annotations: map[string]string{v1alpha1.AnnotationStatus: "{}"}},
			Target:     corev1.ObjectReference{Kind: "Node", Name: nodes.Items[0].Name},
		}
		err := mallory.set.CoreV1().Pods(s.namespace).Bind(t.Context(), binding, metav1.CreateOptions{})
		s.sees(err)
		refused(t, err)
	},
})
