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

// checkLiveness asks the target, both whether it is alive and, if there is
// something to authenticate with, whether it accepts that.
func (r *reconciler) checkLiveness(ctx context.Context, e *evaluation) (finding, error) {
	if e.address.IsZero() {
		return bad(v1alpha1.ReasonProbeFailed, "%v; correct spec.address", e.addressError), nil
	}
	if err := probe.CheckAddress(e.address); err != nil {
		return bad(v1alpha1.ReasonAddressForbidden, "%v", err), nil
	}
	if !e.ready(v1alpha1.ConditionConnectorClassReady) {
		return unknown("waits for the ConnectorClass, which says how to probe"), nil
	}
	liveness, err := e.probes.Liveness(e.connector)
	if err != nil {
		return notAsExpected(e, err), nil
	}
	in := inputs{address: e.address, ca: e.ca.Certificates(), liveness: liveness}
	if e.authenticates() {
		in.auth, in.authError = e.probes.Auth(e.authType.Name, e.connector, e.secret)
	}
	key := client.ObjectKeyFromObject(e.connector)
	if in.liveness == nil && in.auth == nil {
		r.probes.forget(key)
		e.outcome = &outcome{auth: in.authError}
		return notAsked(), nil
	}
	before := settled(e.connector, v1alpha1.ConditionReady)
	result, ok := r.probes.ask(ctx, key, in, before != nil && before.Status == metav1.ConditionTrue)
	if !ok {
		return stillProbing(e, v1alpha1.ConditionLivenessReady), nil
	}
	e.outcome = &result
	switch {
	case result.liveness != nil:
		return notAlive(e, result.liveness), nil //nolint:nilerr // the finding says it
	case in.liveness == nil:
		return notAsked(), nil
	}
	return good(v1alpha1.ReasonProbeSucceeded, "%s answers", e.address), nil
}

// authenticates reports whether there is something to authenticate with.
func (e *evaluation) authenticates() bool {
	return e.ready(v1alpha1.ConditionSecretReady) && e.authType != nil && e.secret != nil
}

func notAsked() finding {
	return good(v1alpha1.ReasonNonLivenessProbe, "the ConnectorClass has no liveness probe")
}

// notAlive says why a target does not answer as it should.
func notAlive(e *evaluation, err error) finding {
	switch kindOf(err) {
	case probe.UnknownAuthority:
		if !e.ready(v1alpha1.ConditionSecretReady) {
			// The CA may be what stands beside the missing token.
			return unknown("waits for the Secret, because the certificate of the cluster is not trusted without it")
		}
		if ca := e.findings[v1alpha1.ConditionCACertReady]; ca.status == metav1.ConditionFalse {
			// A CA was meant to be there: saying that one is needed would not help.
			return bad(v1alpha1.ReasonCertificateInvalid, "the certificate of the cluster is not trusted: %s", ca.message)
		}
		return bad(v1alpha1.ReasonCertificateInvalid, "%v", err)
	case probe.CertificateInvalid:
		return bad(v1alpha1.ReasonCertificateInvalid, "%v", err)
	case probe.AddressForbidden:
		return bad(v1alpha1.ReasonAddressForbidden, "%v", err)
	case probe.ConnectionFailed:
		return bad(v1alpha1.ReasonConnectionFailed, "%v", err)
	default:
		return notAsExpected(e, err)
	}
}

// notAsExpected says why a probe failed that the class may be wrong about.
func notAsExpected(e *evaluation, err error) finding {
	if kindOf(err) == probe.Unrenderable {
		return bad(v1alpha1.ReasonProbeFailed, "ConnectorClass %q: %v", e.connector.Spec.ConnectorClassName, err)
	}
	return bad(v1alpha1.ReasonProbeFailed, "%v", err)
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
