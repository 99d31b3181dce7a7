package controller

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// checkLiveness asks the target, both whether it is alive and, if there is a
// token, whether it accepts that.
func (r *reconciler) checkLiveness(ctx context.Context, e *evaluation) (finding, error) {
	if e.address.IsZero() {
		return bad(v1alpha1.ReasonProbeFailed, "%v; correct spec.address", e.addressError), nil
	}
	if !e.ready(v1alpha1.ConditionConnectorClassReady) {
		return unknown("waits for the ConnectorClass, which says how to probe"), nil
	}
	before := settled(e.connector, v1alpha1.ConditionReady)
	result, ok := r.probes.ask(ctx, client.ObjectKeyFromObject(e.connector), inputs{
		address: e.address,
		ca:      e.ca.Certificates(),
		token:   e.token,
	}, before != nil && before.Status == metav1.ConditionTrue)
	if !ok {
		return stillProbing(e, v1alpha1.ConditionLivenessReady), nil
	}
	e.outcome = &result

	if result.liveness == nil {
		return good(v1alpha1.ReasonProbeSucceeded, "%s answers", e.address), nil
	}
	switch kindOf(result.liveness) {
	case probe.UnknownAuthority:
		if !e.ready(v1alpha1.ConditionSecretReady) {
			// The CA may be what stands beside the missing token.
			return unknown("waits for the Secret, because the certificate of the cluster is not trusted without it"), nil
		}
		if ca := e.findings[v1alpha1.ConditionCACertReady]; ca.status == metav1.ConditionFalse {
			// A CA was meant to be there: saying that one is needed would not help.
			return bad(v1alpha1.ReasonCertificateInvalid, "the certificate of the cluster is not trusted: %s", ca.message), nil
		}
		return bad(v1alpha1.ReasonCertificateInvalid, "%v", result.liveness), nil
	case probe.CertificateInvalid:
		return bad(v1alpha1.ReasonCertificateInvalid, "%v", result.liveness), nil
	case probe.ConnectionFailed:
		return bad(v1alpha1.ReasonConnectionFailed, "%v", result.liveness), nil
	default:
		return bad(v1alpha1.ReasonProbeFailed, "%v", result.liveness), nil
	}
}

// kindOf is the kind of a failed probe, 0 if it could not even be tried.
func kindOf(err error) probe.Kind {
	if failure := (*probe.Error)(nil); errors.As(err, &failure) {
		return failure.Kind
	}
	return 0
}

// settled is a condition of the present generation, or nil.
func settled(c *v1alpha1.Connector, condition v1alpha1.ConditionType) *metav1.Condition {
	found := meta.FindStatusCondition(c.Status.Conditions, string(condition))
	if found == nil || found.ObservedGeneration != c.Generation {
		return nil
	}
	return found
}

// stillProbing is what a condition says until the target has answered: what it
// said before, if that was about the same spec.
func stillProbing(e *evaluation, condition v1alpha1.ConditionType) finding {
	if before := settled(e.connector, condition); before != nil && before.Status != metav1.ConditionUnknown {
		return finding{before.Status, v1alpha1.ConditionReason(before.Reason), before.Message}
	}
	return unknown("waits for an answer of %s", e.address)
}
