package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
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
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

const (
	// patience bounds every wait; nothing is measured with it.
	patience = 2 * time.Minute
	interval = 200 * time.Millisecond
)

// eventually waits for a condition. It runs in the test's own goroutine, so that
// the condition may use require.
func eventually(t *testing.T, condition func() bool, message string, args ...any) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	require.NoError(t, err, append([]any{message}, args...)...)
}

// newNamespace makes a namespace of home in which Pods may use Connectors.
func newNamespace(t *testing.T) string {
	t.Helper()
	return makeNamespace(t, home, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
}

func makeNamespace(t *testing.T, c client.Client, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: labels}}
	create(t, c, namespace)
	eventually(t, func() bool {
		err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace.Name, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil
	}, "the default ServiceAccount does not appear")
	return namespace.Name
}

// create creates an object and deletes it after the test.
func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	require.NoError(t, c.Create(t.Context(), object))
	t.Cleanup(func() {
		// The test's own context has ended.
		ctx := context.WithoutCancel(t.Context())
		err := c.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
		assert.NoError(t, client.IgnoreNotFound(err), "deleting %s", object.GetName())
	})
}

// identity is a ServiceAccount of a cluster that may do a few things.
type identity struct {
	cluster client.WithWatch
	account *corev1.ServiceAccount
}

// newIdentity makes a ServiceAccount that has a ClusterRole in the whole
// cluster.
func newIdentity(t *testing.T, c client.WithWatch, clusterRole string) *identity {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "pipeline", Namespace: makeNamespace(t, c, nil)}}
	create(t, c, account)
	create(t, c, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	return &identity{cluster: c, account: account}
}

// token asks for a new token.
func (i *identity) token(t *testing.T) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	require.NoError(t, i.cluster.SubResource("token").Create(t.Context(), i.account, request))
	require.NotEmpty(t, request.Status.Token)
	return request.Status.Token
}

// revocable asks for a token that ends when the object it is bound to is
// deleted, which revoke does.
func (i *identity) revocable(t *testing.T) (token string, revoke func()) {
	t.Helper()
	bound := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "bound-", Namespace: i.account.Namespace}}
	create(t, i.cluster, bound)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: bound.Name, UID: bound.UID},
	}}
	require.NoError(t, i.cluster.SubResource("token").Create(t.Context(), i.account, request))
	return request.Status.Token, func() { require.NoError(t, i.cluster.Delete(t.Context(), bound)) }
}

// tokenSecret is the Secret of the documented form.
func tokenSecret(namespace, token string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "k8s-secret", Namespace: namespace},
		Type:       connector.SecretTypeBearerToken,
		StringData: map[string]string{connector.SecretKeyToken: token},
	}
}

// newConnector makes the Connector k8s-connector with its Secret and CA, as the
// README has it, and waits until it is Ready.
func newConnector(t *testing.T, namespace, address string, ca []byte, token string) {
	t.Helper()
	create(t, home, tokenSecret(namespace, token))
	c := makeConnector(t, namespace, address, ca)
	awaitReady(t, c, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func makeConnector(t *testing.T, namespace, address string, ca []byte) *v1alpha1.Connector {
	t.Helper()
	create(t, home, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "k8s-ca", Namespace: namespace},
		Data:       map[string][]byte{connector.SecretKeyCA: ca},
	})
	c := connectorObject(namespace, address)
	create(t, home, c)
	return c
}

func connectorObject(namespace, address string) *v1alpha1.Connector {
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

// awaitReady waits for the Ready condition and returns it.
func awaitReady(t *testing.T, c *v1alpha1.Connector, status metav1.ConditionStatus, reason v1alpha1.ConditionReason) metav1.Condition {
	t.Helper()
	var ready metav1.Condition
	eventually(t, func() bool {
		var now v1alpha1.Connector
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(c), &now))
		condition := meta.FindStatusCondition(now.Status.Conditions, string(v1alpha1.ConditionReady))
		if condition != nil {
			ready = *condition
		}
		return ready.Status == status && ready.Reason == string(reason) && ready.ObservedGeneration == now.Generation
	}, "the Connector does not become Ready=%s (%s); it is %+v", status, reason, &ready)
	return ready
}

// asks is the annotation of a Pod that uses k8s-connector.
func asks() map[string]string {
	return map[string]string{v1alpha1.AnnotationConnectors: "k8s-connector"}
}

// sleeper is a Pod that uses k8s-connector and stays, for tests to look around
// in.
func sleeper(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace, Annotations: asks()},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "app", Image: cluster.ToolboxImage, Command: []string{"sleep", "3600"}, ImagePullPolicy: corev1.PullNever,
			}},
		},
	}
}

// awaitPod waits until a Pod is what the test wants, and returns it.
func awaitPod(t *testing.T, pod *corev1.Pod, what string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	now := &corev1.Pod{}
	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(pod), now))
		return is(now)
	}, "the Pod is not %s; its status is %+v", what, &now.Status)
	return now
}

func running(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// execute runs a command in a container and returns what it prints. The error
// is the command's.
func execute(t *testing.T, pod *corev1.Pod, container string, stdin string, command ...string) (string, error) {
	t.Helper()
	request := homeSet.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true,
		}, clientgoscheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(clusters.Home.RESTConfig(), "GET", request.URL().String())
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
	})
	return stdout.String() + stderr.String(), err
}

// logs returns what a container printed.
func logs(t *testing.T, pod *corev1.Pod, container string) string {
	t.Helper()
	stream, err := homeSet.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).Stream(t.Context())
	require.NoError(t, err)
	content, err := io.ReadAll(stream)
	require.NoError(t, errors.Join(err, stream.Close()))
	return string(content)
}
