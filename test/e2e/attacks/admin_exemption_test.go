package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "admin_exemption", actor: admin, outcome: prevented,
	tries: "exempts the namespace from the policies by its label, or deletes policies and webhooks",
	what:  "that takes rights on Namespaces or on admission, which no role of a namespace has",
	run: func(t *testing.T, s *scene) {
		bed.Create(t, bed.Home, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "eve", Namespace: s.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "eve-" + s.namespace}},
		})
		eve := newPerson(t, "eve-"+s.namespace, s.namespace, may("", "pods", "create"))
		err := eve.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}},
			client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"connectors.alauda.io/policy": "exempt"}}}`)))
		require.ErrorContains(t, err, "cannot patch resource")
		for _, object := range []client.Object{
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "final-state.connectors.alauda.io"}},
			&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "connector-webhook"}},
		} {
			require.ErrorContains(t, eve.Delete(t.Context(), object), "cannot delete resource")
		}
	},
})
