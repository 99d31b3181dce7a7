package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// status is what the findings make of the status, Ready first.
func (e *evaluation) status(now metav1.Time) v1alpha1.ConnectorStatus {
	status := v1alpha1.ConnectorStatus{
		ObservedGeneration: e.connector.Generation,
		Proxy:              &v1alpha1.ConnectorProxy{HTTPAddress: &v1alpha1.ProxyAddress{URL: proxyURL}},
		Conditions:         []metav1.Condition{e.condition(v1alpha1.ConditionReady, e.summary(), now)},
	}
	for _, c := range checks {
		status.Conditions = append(status.Conditions, e.condition(c.condition, e.findings[c.condition], now))
	}
	return status
}

// condition is a finding with its bookkeeping. The time of the last transition
// stays while the status does.
func (e *evaluation) condition(kind v1alpha1.ConditionType, f finding, now metav1.Time) metav1.Condition {
	since := now
	if before := meta.FindStatusCondition(e.connector.Status.Conditions, string(kind)); before != nil && before.Status == f.status {
		since = before.LastTransitionTime
	}
	return metav1.Condition{
		Type:               string(kind),
		Status:             f.status,
		Reason:             string(f.reason),
		Message:            f.message,
		ObservedGeneration: e.connector.Generation,
		LastTransitionTime: since,
	}
}

// writeStatus applies the status if it says something new. Conditions of other
// writers stay.
func (r *reconciler) writeStatus(ctx context.Context, c *v1alpha1.Connector, status v1alpha1.ConnectorStatus) error {
	if isWritten(&c.Status, &status) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return fmt.Errorf("converting the status: %w", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	object.SetNamespace(c.Namespace)
	object.SetName(c.Name)
	object.SetUID(c.UID) // not that of one that was created anew under the name
	err = r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status: %w", err)
	}

	before := meta.FindStatusCondition(c.Status.Conditions, string(v1alpha1.ConditionReady))
	after := &status.Conditions[0]
	if before == nil || before.Status != after.Status || before.Reason != after.Reason {
		log.FromContext(ctx).Info("Connector changed", "ready", after.Status, "reason", after.Reason, "message", after.Message)
	}
	return nil
}

// isWritten reports whether the status there says all that it should.
func isWritten(there, should *v1alpha1.ConnectorStatus) bool {
	if there.ObservedGeneration != should.ObservedGeneration || !equality.Semantic.DeepEqual(there.Proxy, should.Proxy) {
		return false
	}
	for i := range should.Conditions {
		found := meta.FindStatusCondition(there.Conditions, should.Conditions[i].Type)
		if found == nil || !equality.Semantic.DeepEqual(*found, should.Conditions[i]) {
			return false
		}
	}
	return true
}
