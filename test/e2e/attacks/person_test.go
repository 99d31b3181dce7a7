package attacks

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

// person is a user of home with the rights of a Role, or a ClusterRole, and no more.
type person struct {
	client.Client
	set    kubernetes.Interface
	config *rest.Config
	name   string
}

// may is a rule of a Role.
func may(group, resources string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resources, ","), Verbs: verbs}
}

// The rights of the actors.
var (
	createsPods = []rbacv1.PolicyRule{
		may("", "pods", "get", "list", "watch", "create", "update", "patch", "delete"),
		may("", "pods/log", "get"),
	}
	debugs = append([]rbacv1.PolicyRule{
		may("", "pods/exec,pods/attach,pods/portforward", "get", "create"),
		may("", "pods/ephemeralcontainers", "get", "update", "patch"),
	}, createsPods...)
	editsConnectors = []rbacv1.PolicyRule{
		may("connectors.alauda.io", "connectors", "*"),
		may("", "configmaps,events", "*"),
	}
)

// person is somebody with rights in the namespace.
func (s *scene) person(t *testing.T, rules []rbacv1.PolicyRule) *person {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "mallory-", Namespace: s.namespace}, Rules: rules}
	bed.Create(t, bed.Home, role)
	bed.Create(t, bed.Home, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role.Name}},
	})
	return newPerson(t, role.Name, s.namespace, rules[0])
}

// everywhere is somebody with rights in the whole cluster.
func (s *scene) everywhere(t *testing.T, rules []rbacv1.PolicyRule) *person {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "mallory-"}, Rules: rules}
	bed.Create(t, bed.Home, role)
	bed.Create(t, bed.Home, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role.Name}},
	})
	return newPerson(t, role.Name, "", rules[0])
}

// newPerson waits until the API server knows of one of his rights, and so of all.
func newPerson(t *testing.T, name, namespace string, rule rbacv1.PolicyRule) *person {
	t.Helper()
	config := bed.Clusters.Home.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: name}
	p := &person{config: config, name: name}
	var err error
	p.Client, err = client.New(config, client.Options{Scheme: bed.Home.Scheme(), Mapper: bed.Home.RESTMapper()})
	require.NoError(t, err)
	p.set, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
	bed.Eventually(t, func() bool {
		review, err := p.set.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: subresource,
			}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Allowed
	}, "%s has no rights", name)
	return p
}

// creates creates an object, which is deleted after the attack. What the API server
// says to it, the attacker has seen.
func (s *scene) creates(t *testing.T, p *person, object client.Object, options ...client.CreateOption) error {
	t.Helper()
	err := p.Create(t.Context(), object, options...)
	s.sees(err)
	if err == nil {
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			_ = client.IgnoreNotFound(bed.Home.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)))
		})
	}
	return err
}

// refused checks that admission said no, and not RBAC, or a mistake of the attacker.
func refused(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err, "nobody refuses it")
	assert.Regexp(t, `denied (the )?request`, err.Error())
}

// refusesSecret checks that a Pod that brings its containers a Secret is refused if it
// is that of a Connector, and that the Pod itself is fine.
func (s *scene) refusesSecret(t *testing.T, pod func(secret string) *corev1.Pod) {
	t.Helper()
	mallory := s.person(t, createsPods)
	require.NoError(t, s.creates(t, mallory, pod(unrelated), client.DryRunAll), "a Secret of no Connector is nobody's business")
	refused(t, s.creates(t, mallory, pod(theSecret)))
}

// kubeconfig is a file with which kubectl is this person.
func (p *person) kubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(bed.Clusters.Home.Kubeconfig)
	require.NoError(t, err)
	for _, user := range config.AuthInfos {
		user.Impersonate = p.name
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, file))
	return file
}
