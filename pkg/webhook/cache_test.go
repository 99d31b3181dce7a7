package webhook_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// What is cached of a Connector is what injection and its warnings need.
func TestTrimConnector(t *testing.T) {
	want := reviews.Connector("k8s-connector")
	c := want.DeepCopy()
	c.Labels = map[string]string{"a": "b"}
	c.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"}
	c.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	want.Status.Conditions = append(want.Status.Conditions, metav1.Condition{
		Type: string(v1alpha1.ConditionProxyServiceReady), Reason: string(v1alpha1.ReasonNonProxy),
	})
	c.Status.Conditions = slices.Clone(want.Status.Conditions)
	c.Status.Conditions = append([]metav1.Condition{{Type: string(v1alpha1.ConditionSecretReady)}}, c.Status.Conditions...)
	for range 2 { // a cache may trim what it has trimmed before
		got, err := webhook.TrimConnector(c)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}
