package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// TestBadAddressIsRefused: the API server itself names the field and the reason.
func TestBadAddressIsRefused(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	for address, reason := range map[string]string{
		"http://192.168.1.100:6443":           "must start with https://",
		"https://user:secret@192.168.1.100":   "user info",
		"https://192.168.1.100:6443/a/%2e%2e": "the path may hold letters, digits and",
		"https://192.168.1.100:6443?a=b":      "query",
		"https://":                            "host",
	} {
		t.Run(address, func(t *testing.T) {
			err := home.Create(t.Context(), connectorObject(namespace, address))
			require.Error(t, err)
			assert.True(t, apierrors.IsInvalid(err), err.Error())
			assert.Contains(t, err.Error(), "spec.address")
			assert.Contains(t, err.Error(), reason)
		})
	}
}

// TestPodIsRefused: a Pod that cannot have what it asks for is not created, and
// the answer names the Connector and the reason.
func TestPodIsRefused(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	for name, test := range map[string]struct {
		annotation string
		want       []string
	}{
		"connector that does not exist":  {"k8s-conector", []string{namespace + "/k8s-conector", "does not exist"}},
		"connector of another namespace": {"default/k8s-connector", []string{"default/k8s-connector", "another namespace"}},
		"annotation that cannot be read": {"K8S Connector!", []string{v1alpha1.AnnotationConnectors, "K8S Connector!"}},
		"annotation without a connector": {"", []string{v1alpha1.AnnotationConnectors, "at least one Connector"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := sleeper(namespace)
			pod.Annotations[v1alpha1.AnnotationConnectors] = test.annotation
			err := home.Create(t.Context(), pod)
			require.Error(t, err)
			assert.True(t, apierrors.IsForbidden(err), err.Error())
			for _, want := range test.want {
				assert.Contains(t, err.Error(), want)
			}
		})
	}
}

// TestPodsThatDidNotAskAreLeftAlone: neither a Pod without the annotation, nor
// one that opted out, nor one of a namespace without the label is touched.
func TestPodsThatDidNotAskAreLeftAlone(t *testing.T) {
	t.Parallel()
	enabled, other := newNamespace(t), makeNamespace(t, home, nil)
	plain := sleeper(enabled)
	plain.Annotations = nil
	out := sleeper(enabled)
	out.Annotations[v1alpha1.AnnotationInject] = "false"
	elsewhere := sleeper(other)
	for _, pod := range []client.Object{plain, out, elsewhere} {
		create(t, home, pod)
		var now corev1.Pod
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(pod), &now))
		assert.Empty(t, now.Spec.InitContainers)
		assert.NotContains(t, now.Labels, v1alpha1.LabelInjected)
	}
}
