package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_service_account", actor: creator, outcome: notPrevented,
	tries: "runs its Pod as another ServiceAccount of the namespace, which may read Secrets",
	what:  "whoever may create Pods has the rights of all ServiceAccounts of the namespace: let none of them read the Secret",
	run: func(t *testing.T, s *scene) {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "strong", Namespace: s.namespace}, Rules: []rbacv1.PolicyRule{may("", "secrets", "get")}}
		bed.Create(t, bed.Home, role)
		bed.Create(t, bed.Home, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "strong", Namespace: s.namespace}})
		bed.Create(t, bed.Home, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "strong", Namespace: s.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "strong"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "strong", Namespace: s.namespace}},
		})
		pod := s.plain()
		pod.Spec.ServiceAccountName = "strong"
		require.NoError(t, s.creates(t, s.person(t, createsPods), pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		bed.Eventually(t, func() bool {
			output, _ := bed.Execute(t, pod, "app", "", "sh", "-c", "kubectl get secret "+theSecret+" -o jsonpath='{.data.token}' | base64 -d")
			return output == s.token
		}, "the ServiceAccount may not read the Secret")
	},
})
