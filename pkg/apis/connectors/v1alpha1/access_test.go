package v1alpha1_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

func TestExecPolicy(t *testing.T) {
	p := newPoliced(t, execPolicy)
	const refused = "container connector-proxy holds the tokens of Connectors, so nobody gets into it; name another container with -c, or read what it says: " +
		"kubectl -n policy-unlabelled logs app -c connector-proxy"
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, p.exec(t, unlabelled, "exec", "connector-proxy"), refused)
	}, 30*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, p.exec(t, unlabelled, "attach", "connector-proxy"), refused)
	for _, subresource := range []string{"exec", "attach"} {
		for _, container := range []string{"app", "", "connector-proxy2"} {
			assert.NotContains(t, p.exec(t, unlabelled, subresource, container).Error(), "connector-proxy holds")
		}
	}
}

func TestBindingPolicy(t *testing.T) {
	p := newPoliced(t, bindingPolicy)
	set, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	pod := p.create(t, workloads(unlabelled, nil, nil)["Pod"].(*corev1.Pod))
	bind := func(annotations, labels map[string]string) error {
		return set.CoreV1().Pods(pod.Namespace).Bind(t.Context(), &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Annotations: annotations, Labels: labels},
			Target:     corev1.ObjectReference{Kind: "Node", Name: "node"},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	status, injected := map[string]string{v1alpha1.AnnotationStatus: "{}"}, map[string]string{v1alpha1.LabelInjected: "true"}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, bind(status, nil), "a Binding must not bring connectors.alauda.io/status into a Pod; only the webhook of Kubernetes Connector writes that")
	}, 30*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, bind(nil, injected), "must not bring connectors.alauda.io/injected")
	require.NoError(t, bind(map[string]string{"example.com/scheduled": "yes"}, map[string]string{"topology.kubernetes.io/zone": "a"}))
}

// grant makes a Role of rules, for a user.
func (p *policed) grant(t *testing.T, namespace, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: namespace}, Rules: rules}
	p.bind(t, namespace, user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}, rbacv1.Subject{Kind: "User", Name: user})
	require.NoError(t, p.Create(t.Context(), role))
	t.Cleanup(func() { assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), role)) })
}

func (p *policed) bind(t *testing.T, namespace, name string, ref rbacv1.RoleRef, subject rbacv1.Subject) {
	t.Helper()
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}
	require.NoError(t, p.Create(t.Context(), binding))
	t.Cleanup(func() { assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), binding)) })
}

// Who may write Connectors in namespace policy-writers, and with what. Each may do
// all that there is with Connectors.
func TestConnectorPolicy(t *testing.T) {
	p := newPoliced(t, connectorPolicy)
	namespace := p.namespace(t, "policy-writers", nil)
	connectors := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"connectors", "connectors/status"}, Verbs: []string{"*"}}
	get := func(names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: names}
	}
	p.grant(t, namespace, "writer", connectors)
	p.grant(t, namespace, "reader-of-one", connectors, get(theSecret))
	p.grant(t, namespace, "reader-of-both", connectors, get(theSecret, "other"))
	p.grant(t, namespace, "creator", connectors, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "list", "update"}})
	for user, roles := range map[string][]string{
		// Nobody is there who would put edit and admin together of these.
		"edit": {"system:aggregate-to-edit", "system:aggregate-to-view"}, "admin": {"system:aggregate-to-admin", "system:aggregate-to-edit"},
		"view": {"system:aggregate-to-view"},
	} {
		p.grant(t, namespace, user, connectors)
		for _, role := range roles {
			p.bind(t, namespace, user+"-"+strings.ReplaceAll(role, ":", "-"), rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, rbacv1.Subject{Kind: "User", Name: user})
		}
	}
	const robot = "system:serviceaccount:policy-writers:robot"
	p.bind(t, namespace, "robot", rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader-of-one"},
		rbacv1.Subject{Kind: "ServiceAccount", Name: "robot", Namespace: namespace})

	connector := func(secret string) *v1alpha1.Connector {
		c := valid()
		c.Namespace = namespace
		if c.Spec.Auth.SecretRef.Name = secret; secret == "" {
			c.Spec.Auth = nil
		}
		return c
	}
	mayNot := func(user, secret, what string) string {
		return "user " + user + " may not get Secret " + secret + ", and so may not " + what + "; let somebody make this change who may, " +
			"or show him that one Secret: kubectl -n policy-writers create role NAME --verb=get --resource=secrets --resource-name=" + secret
	}
	const say, take = "say where its token goes", "take it from the Connector, which keeps it out of Pods"
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, p.as(t, "writer").Create(t.Context(), connector(theSecret), client.DryRunAll), mayNot("writer", theSecret, say))
	}, 30*time.Second, 100*time.Millisecond)

	stored := connector(theSecret)
	require.NoError(t, p.Create(t.Context(), stored))
	t.Cleanup(func() { assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), stored)) })
	update := func(change func(*v1alpha1.Connector)) func(client.Client) error {
		return func(as client.Client) error {
			c := stored.DeepCopy()
			change(c)
			return as.Update(t.Context(), c, client.DryRunAll)
		}
	}
	create := func(secret string) func(client.Client) error {
		return func(as client.Client) error {
			c := connector(secret)
			c.Name = "another"
			return as.Create(t.Context(), c, client.DryRunAll)
		}
	}
	everybody := []string{"writer", "creator", "view", "reader-of-one", "reader-of-both", "edit", "admin", robot}
	readers := []string{"reader-of-one", "reader-of-both", "edit", "admin", robot}
	for name, tc := range map[string]struct {
		do      func(client.Client) error
		allowed []string
		secret  string
		what    string
	}{
		"a new one":            {create(theSecret), readers, theSecret, say},
		"a new one of another": {create("other"), []string{"reader-of-both", "edit", "admin"}, "other", say},
		"a new one of none":    {create(""), everybody, "", ""},
		"another address":      {update(func(c *v1alpha1.Connector) { c.Spec.Address = "https://evil.example.com" }), readers, theSecret, say},
		"another CA":           {update(func(c *v1alpha1.Connector) { c.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "x"} }), readers, theSecret, say},
		"another class":        {update(func(c *v1alpha1.Connector) { c.Spec.ConnectorClassName = "x" }), readers, theSecret, say},
		"an owner": {update(func(c *v1alpha1.Connector) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}}
		}), readers, theSecret, say},
		"another Secret":        {update(func(c *v1alpha1.Connector) { c.Spec.Auth.SecretRef.Name = "other" }), []string{"reader-of-both", "edit", "admin"}, "", ""},
		"no Secret any more":    {update(func(c *v1alpha1.Connector) { c.Spec.Auth = nil }), readers, theSecret, take},
		"labels":                {update(func(c *v1alpha1.Connector) { c.Labels = map[string]string{"a": "b"} }), everybody, "", ""},
		"a finalizer":           {update(func(c *v1alpha1.Connector) { c.Finalizers = []string{"example.com/x"} }), everybody, "", ""},
		"a field, written anew": {update(func(c *v1alpha1.Connector) { c.Spec.Params = []v1alpha1.Param{} }), everybody, "", ""},
		"status": {func(as client.Client) error {
			c := stored.DeepCopy()
			c.Status.ObservedGeneration = 9
			return as.Status().Update(t.Context(), c, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}})
		}, everybody, "", ""},
		"none any more": {func(as client.Client) error { return as.Delete(t.Context(), stored.DeepCopy(), client.DryRunAll) }, readers, theSecret, take},
		"none at all": {func(as client.Client) error {
			return as.DeleteAllOf(t.Context(), &v1alpha1.Connector{}, client.InNamespace(namespace), &client.DeleteAllOfOptions{DeleteOptions: client.DeleteOptions{DryRun: []string{metav1.DryRunAll}}})
		}, readers, theSecret, take},
	} {
		t.Run(name, func(t *testing.T) {
			allowed := map[string]bool{}
			for _, user := range tc.allowed {
				allowed[user] = true
			}
			for _, user := range everybody {
				err := tc.do(p.as(t, user))
				if allowed[user] {
					require.NoError(t, err, user)
					continue
				}
				want := "may not get Secret"
				if tc.secret != "" {
					want = mayNot(user, tc.secret, tc.what)
				}
				require.ErrorContains(t, err, want, user)
			}
			assert.NoError(t, tc.do(p), "an administrator")
		})
	}
}
