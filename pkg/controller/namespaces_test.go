package controller_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

// A controller that is limited to a namespace needs rights there only, and in the
// system namespace for the certificates.
func TestLimitedToNamespaces(t *testing.T) {
	s := &site{config: apiserver.Start(t), schedule: patient.schedule}
	require.NoError(t, s.install())
	in, out := newFixture(t, s), newFixture(t, s)
	s.namespaces = []string{in.namespace}

	everywhere := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "connector-controller"}}
	require.NoError(t, s.admin.Get(t.Context(), client.ObjectKeyFromObject(everywhere), everywhere))
	in.remove(everywhere)
	classes := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "classes"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"connectorclasses"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
	}}
	secrets := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "secrets"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}},
	}}
	bind := func(namespace, kind, role string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "limited"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
			Subjects:   everywhere.Subjects,
		}
	}
	in.create(classes, secrets,
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "classes"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "classes"},
			Subjects:   everywhere.Subjects,
		},
		bind(in.namespace, "ClusterRole", "connector-controller"), bind(systemNamespace, "Role", "secrets"))
	require.NoError(t, s.work())
	t.Cleanup(func() { require.NoError(t, s.rest()) })

	server := target(t, healthy)
	for _, f := range []*fixture{in, out} {
		f.pointAt(server)
		delete(f.secret.Data, connector.SecretKeyCA)
		f.create(f.secret, f.connector)
	}
	in.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
	in.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "ca", Labels: map[string]string{connector.LabelCACert: "true"}},
		Data:       map[string][]byte{"company.crt": caOf(server)},
	})
	in.await(later, ready)
	in.awaitTold("Normal Ready 1", "Warning CertificateInvalid 1")
	require.Empty(t, out.read(t).Status)
	require.Zero(t, s.invariants.asked(out.namespace))
}
