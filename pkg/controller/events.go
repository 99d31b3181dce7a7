package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// reporter is who the events are of.
	reporter = "connectors.alauda.io/connector-controller"

	// actionCheck is what the controller did when it came upon something.
	actionCheck = "Check"

	// Reasons of events. One that is about a Connector that stopped being Ready has
	// the reason of the condition.
	eventReady             = "Ready"
	eventCredentialRotated = "CredentialRotated" //nolint:gosec // a reason, not a credential
	eventTokenExpiring     = "TokenExpiring"
)

// tellChanges emits events of what is otherwise in the new status than in the one
// before, which is that of the API server: a restart of the controller changes
// nothing.
func (r *reconciler) tellChanges(ctx context.Context, c *v1alpha1.Connector, status *v1alpha1.ConnectorStatus) {
	before := statusOf(c.Status.Conditions, v1alpha1.ConditionReady)
	ready := meta.FindStatusCondition(status.Conditions, string(v1alpha1.ConditionReady))
	if ready.Status != before {
		switch ready.Status {
		case metav1.ConditionTrue:
			r.events.tell(ctx, c, corev1.EventTypeNormal, eventReady, actionCheck, ready.Message)
		case metav1.ConditionFalse:
			r.events.tell(ctx, c, corev1.EventTypeWarning, ready.Reason, actionCheck, ready.Message)
		case metav1.ConditionUnknown: // it is being found out
		}
	}
	if expiring := reasonOf(status.Conditions); expiring == v1alpha1.ReasonExpiring && expiring != reasonOf(c.Status.Conditions) {
		r.events.tell(ctx, c, corev1.EventTypeWarning, eventTokenExpiring, actionCheck,
			meta.FindStatusCondition(status.Conditions, string(v1alpha1.ConditionTokenExpiryReady)).Message)
	}
}

func statusOf(conditions []metav1.Condition, kind v1alpha1.ConditionType) metav1.ConditionStatus {
	if found := meta.FindStatusCondition(conditions, string(kind)); found != nil {
		return found.Status
	}
	return ""
}

// reasonOf is the reason of TokenExpiryReady.
func reasonOf(conditions []metav1.Condition) v1alpha1.ConditionReason {
	if found := meta.FindStatusCondition(conditions, string(v1alpha1.ConditionTokenExpiryReady)); found != nil {
		return v1alpha1.ConditionReason(found.Reason)
	}
	return ""
}
