package v1alpha1_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespace makes a namespace in which Pods can be created.
func (p *policed) namespace(t *testing.T, name string, labels map[string]string) string {
	t.Helper()
	require.NoError(t, client.IgnoreAlreadyExists(p.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}
	require.NoError(t, client.IgnoreAlreadyExists(p.Create(t.Context(), account)))
	return name
}

// label replaces the labels of a namespace.
func (p *policed) label(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	var namespace corev1.Namespace
	require.NoError(t, p.Get(t.Context(), client.ObjectKey{Name: name}, &namespace))
	namespace.Labels = labels
	require.NoError(t, p.Update(t.Context(), &namespace))
}

// create creates a Pod for the time of the test, and returns it as it is then.
func (p *policed) create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	require.NoError(t, p.Create(t.Context(), pod))
	t.Cleanup(func() {
		assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)))
	})
	return pod
}

// as is the API server as a user sees it, and who has a right only if a Role gives it.
func (p *policed) as(t *testing.T, user string) client.Client {
	t.Helper()
	c := rest.CopyConfig(config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	as, err := client.New(c, client.Options{Scheme: scheme})
	require.NoError(t, err)
	return as
}

// exec is what somebody is told who execs into, or attaches to, a container of a
// Pod, which is on no node, as an administrator.
func (p *policed) exec(t *testing.T, namespace, subresource, container string) error {
	t.Helper()
	set, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	request := set.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name("app").SubResource(subresource)
	if subresource == "exec" {
		request.VersionedParams(&corev1.PodExecOptions{Container: container, Command: []string{"id"}, Stdout: true}, clientgoscheme.ParameterCodec)
	} else {
		request.VersionedParams(&corev1.PodAttachOptions{Container: container, Stdout: true}, clientgoscheme.ParameterCodec)
	}
	return request.Do(t.Context()).Error()
}
