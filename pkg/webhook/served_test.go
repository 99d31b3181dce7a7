package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// testNotServed: a Pod that names a Connector that no sidecar can ever serve is
// refused, whether or not the controller has looked at the Connector.
func testNotServed(t *testing.T, s *server) {
	t.Helper()
	generator := &v1alpha1.AuthGenerator{Rego: "package proxy"}
	class := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: "git"},
		Spec: v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{
			{Name: "basic", SecretType: "kubernetes.io/basic-auth"},
			{Name: "token", SecretType: connector.SecretTypeBearerToken},
			{Name: "any"},
			{Name: "made", SecretType: connector.SecretTypeBearerToken, Generator: generator},
		}}},
	}
	require.NoError(t, s.api.Create(t.Context(), class))

	const brings = "the sidecar cannot serve it: it brings bearer tokens only"
	checked := func(kind v1alpha1.ConditionType, reason v1alpha1.ConditionReason, generation int64) metav1.Condition {
		return metav1.Condition{
			Type: string(kind), Status: metav1.ConditionTrue, Reason: string(reason), ObservedGeneration: generation, Message: brings,
		}
	}
	isReady := checked(v1alpha1.ConditionReady, v1alpha1.ReasonReady, 1)
	notServed := checked(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonNonProxy, 1)
	staleReady, staleNotServed := isReady, notServed
	staleReady.ObservedGeneration, staleNotServed.ObservedGeneration = 2, 2 // of no generation there is

	for name, tc := range map[string]struct {
		class, auth string
		conditions  []metav1.Condition
		want        string // "" is admitted
	}{
		"token-unchecked":     {"git", "token", nil, ""},
		"any-unchecked":       {"git", "any", nil, ""},
		"no-such-type":        {"git", "nowhere", nil, ""},
		"none-of-several":     {"git", "", nil, ""},
		"no-such-class":       {"nowhere", "basic", nil, ""},
		"checked":             {"git", "basic", []metav1.Condition{isReady}, ""},
		"served-since-then":   {"git", "token", []metav1.Condition{staleReady, staleNotServed}, ""},
		"basic-unchecked":     {"git", "basic", nil, brings + ", and Secrets of type kubernetes.io/basic-auth have none"},
		"basic-since-then":    {"git", "basic", []metav1.Condition{staleReady}, brings + ", and Secrets of type kubernetes.io/basic-auth have none"},
		"made-unchecked":      {"git", "made", nil, brings + ", and made makes something else out of the Secret"},
		"not-served":          {"git", "any", []metav1.Condition{isReady, notServed}, brings},
		"not-served-no-class": {"nowhere", "any", []metav1.Condition{isReady, notServed}, brings},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConnector(name)
			c.Spec.ConnectorClassName, c.Spec.Auth.Name = tc.class, tc.auth
			require.NoError(t, s.api.Create(t.Context(), c))
			if tc.conditions != nil {
				for _, condition := range tc.conditions {
					meta.SetStatusCondition(&c.Status.Conditions, condition)
				}
				require.NoError(t, s.api.Status().Update(t.Context(), c))
			}
			// The webhook may not have seen the class and the status yet.
			require.EventuallyWithT(t, func(a *assert.CollectT) {
				answer := s.review(t, webhook.InjectPath, "default", pod(name))
				if !assert.Equal(a, tc.want == "", answer.Allowed) || tc.want == "" {
					return
				}
				assert.Equal(a, "connectors.alauda.io: the Connector default/"+name+", which annotation connectors.alauda.io/connectors names, is of class "+
					tc.class+": "+tc.want, answer.Result.Message)
			}, patience, interval)
		})
	}
}

// What is cached of a class is how to authenticate.
func TestTrimClass(t *testing.T) {
	want := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: "git"},
		Spec:       v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{{Name: "a"}}}},
	}
	class := want.DeepCopy()
	class.Labels = map[string]string{"a": "b"}
	class.Annotations = map[string]string{"ui.cpaas.io/icon": "data:"}
	class.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	class.Spec.Configurations = []v1alpha1.Configuration{{Name: "a", Data: map[string]string{"a": "b"}}}
	class.Status.Connectors = 1
	got, err := webhook.TrimClass(class)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}
