package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var _ = declare(attack{
	name: "admin_role", actor: admin, outcome: prevented,
	tries: "gives himself, or a ServiceAccount, a Role that reads Secrets",
	what:  "RBAC lets nobody grant what he does not have",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, []rbacv1.PolicyRule{may("rbac.authorization.k8s.io", "roles,rolebindings", "get", "list", "create", "update", "patch"), may("", "pods", "*")})
		reads := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reads", Namespace: s.namespace}, Rules: []rbacv1.PolicyRule{may("", "secrets", "get")}}
		err := s.creates(t, mallory, reads)
		require.ErrorContains(t, err, "attempting to grant RBAC permissions not currently held")
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "reads", Namespace: s.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: mallory.name}},
		}
		require.ErrorContains(t, s.creates(t, mallory, binding), "attempting to grant RBAC permissions not currently held")
	},
})
