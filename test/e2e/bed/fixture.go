package bed

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

const (
	// Patience bounds every wait; nothing is measured with it.
	Patience = 2 * time.Minute
	// Interval is how long a wait waits before it looks again.
	Interval = 200 * time.Millisecond
)

// Eventually waits for a condition. It runs in the test's own goroutine, so that
// the condition may use require.
func Eventually(t *testing.T, condition func() bool, message string, args ...any) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), Interval, Patience, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	require.NoError(t, err, append([]any{message}, args...)...)
}

// NewNamespace makes a namespace of home in which Pods may use Connectors.
func NewNamespace(t *testing.T) string {
	t.Helper()
	return MakeNamespace(t, Home, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
}

// MakeNamespace makes a namespace and waits until Pods can be created in it.
func MakeNamespace(t *testing.T, c client.Client, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: labels}}
	Create(t, c, namespace)
	Eventually(t, func() bool {
		err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace.Name, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil
	}, "the default ServiceAccount does not appear")
	return namespace.Name
}

// Exempt has the policies that keep tokens from people no longer hold in a namespace
// of home.
func Exempt(t *testing.T, name string) {
	t.Helper()
	var namespace corev1.Namespace
	require.NoError(t, Home.Get(t.Context(), client.ObjectKey{Name: name}, &namespace))
	patch := client.MergeFrom(namespace.DeepCopy())
	metav1.SetMetaDataLabel(&namespace.ObjectMeta, v1alpha1.LabelPolicy, v1alpha1.PolicyExempt)
	require.NoError(t, Home.Patch(t.Context(), &namespace, patch))
}

// Create creates an object and deletes it after the test.
func Create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	require.NoError(t, c.Create(t.Context(), object))
	t.Cleanup(func() {
		// The test's own context has ended.
		ctx := context.WithoutCancel(t.Context())
		err := c.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
		assert.NoError(t, client.IgnoreNotFound(err), "deleting %s", object.GetName())
	})
}

// Identity is a ServiceAccount of a cluster that may do a few things.
type Identity struct {
	cluster client.WithWatch
	Account *corev1.ServiceAccount
}

// NewIdentity makes a ServiceAccount that has a ClusterRole in the whole
// cluster.
func NewIdentity(t *testing.T, c client.WithWatch, clusterRole string) *Identity {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "pipeline", Namespace: MakeNamespace(t, c, nil)}}
	Create(t, c, account)
	Create(t, c, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	return &Identity{cluster: c, Account: account}
}

// Token asks for a new token.
func (i *Identity) Token(t *testing.T) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	require.NoError(t, i.cluster.SubResource("token").Create(t.Context(), i.Account, request))
	require.NotEmpty(t, request.Status.Token)
	return request.Status.Token
}

// Revocable asks for a token that ends when the object it is bound to is
// deleted, which revoke does.
func (i *Identity) Revocable(t *testing.T) (token string, revoke func()) {
	t.Helper()
	bound := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "bound-", Namespace: i.Account.Namespace}}
	Create(t, i.cluster, bound)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: bound.Name, UID: bound.UID},
	}}
	require.NoError(t, i.cluster.SubResource("token").Create(t.Context(), i.Account, request))
	return request.Status.Token, func() { require.NoError(t, i.cluster.Delete(t.Context(), bound)) }
}

// TokenSecret is the Secret of the documented form.
func TokenSecret(namespace, token string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "k8s-secret", Namespace: namespace},
		Type:       connector.SecretTypeBearerToken,
		StringData: map[string]string{connector.SecretKeyToken: token},
	}
}

// NewConnector makes the Connector k8s-connector with its Secret and CA, as the
// README has it, and waits until it is Ready.
func NewConnector(t *testing.T, namespace, address string, ca []byte, token string) {
	t.Helper()
	Create(t, Home, TokenSecret(namespace, token))
	c := MakeConnector(t, namespace, address, ca)
	AwaitReady(t, c, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// MakeConnector makes the Connector k8s-connector with its CA, and no Secret.
func MakeConnector(t *testing.T, namespace, address string, ca []byte) *v1alpha1.Connector {
	t.Helper()
	Create(t, Home, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "k8s-ca", Namespace: namespace},
		Data:       map[string][]byte{connector.SecretKeyCA: ca},
	})
	c := ConnectorObject(namespace, address)
	Create(t, Home, c)
	return c
}

// ConnectorObject is the Connector k8s-connector.
func ConnectorObject(namespace, address string) *v1alpha1.Connector {
	return &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{
			Name: "k8s-connector", Namespace: namespace,
			Annotations: map[string]string{"cpaas.io/description": "Connect to team development kubernetes cluster"},
		},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s",
			Address:            address,
			Auth:               &v1alpha1.ConnectorAuth{Name: "bearerTokenAuth", SecretRef: &corev1.ObjectReference{Name: "k8s-secret"}},
			CACertSecretRef:    &corev1.ObjectReference{Name: "k8s-ca"},
		},
	}
}

// AwaitReady waits for the Ready condition and returns it.
func AwaitReady(t *testing.T, c *v1alpha1.Connector, status metav1.ConditionStatus, reason v1alpha1.ConditionReason) metav1.Condition {
	t.Helper()
	var ready metav1.Condition
	Eventually(t, func() bool {
		var now v1alpha1.Connector
		require.NoError(t, Home.Get(t.Context(), client.ObjectKeyFromObject(c), &now))
		condition := meta.FindStatusCondition(now.Status.Conditions, string(v1alpha1.ConditionReady))
		if condition != nil {
			ready = *condition
		}
		return ready.Status == status && ready.Reason == string(reason) && ready.ObservedGeneration == now.Generation
	}, "the Connector does not become Ready=%s (%s); it is %+v", status, reason, &ready)
	return ready
}

// Asks is the annotation of a Pod that uses k8s-connector.
func Asks() map[string]string {
	return map[string]string{v1alpha1.AnnotationConnectors: "k8s-connector"}
}

// Sleeper is a Pod that uses k8s-connector and stays, for tests to look around
// in.
func Sleeper(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace, Annotations: Asks()},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "app", Image: cluster.ToolboxImage, Command: []string{"sleep", "3600"}, ImagePullPolicy: corev1.PullNever,
			}},
		},
	}
}

// AwaitPod waits until a Pod is what the test wants, and returns it.
func AwaitPod(t *testing.T, pod *corev1.Pod, what string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	now := &corev1.Pod{}
	Eventually(t, func() bool {
		require.NoError(t, Home.Get(t.Context(), client.ObjectKeyFromObject(pod), now))
		return is(now)
	}, "the Pod is not %s; its status is %+v", what, &now.Status)
	return now
}

// Running reports whether a Pod is ready.
func Running(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
