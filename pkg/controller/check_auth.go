package controller

import (
	"context"
	"fmt"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// checkAuth says what the target thinks of the Secret. checkLiveness asked it.
func (r *reconciler) checkAuth(_ context.Context, e *evaluation) (finding, error) {
	switch {
	case !e.ready(v1alpha1.ConditionConnectorClassReady):
		return unknown("waits for the ConnectorClass, which says how to authenticate"), nil
	case !e.ready(v1alpha1.ConditionSecretReady):
		return unknown("waits for the Secret"), nil
	case !e.authenticates():
		return good(v1alpha1.ReasonNonAuthProbe, "there is nothing to authenticate with"), nil
	case !e.probes.AsksAuth(e.authType.Name):
		return good(v1alpha1.ReasonNonAuthProbe, "the ConnectorClass has no probe for %q", e.authType.Name), nil
	case e.outcome == nil && e.findings[v1alpha1.ConditionLivenessReady].reason == v1alpha1.ReasonProbing:
		return stillProbing(e, v1alpha1.ConditionAuthReady), nil
	case !e.ready(v1alpha1.ConditionLivenessReady):
		return unknown("waits for the cluster to answer, see LivenessReady"), nil
	case e.outcome == nil:
		return stillProbing(e, v1alpha1.ConditionAuthReady), nil
	case e.outcome.auth == nil:
		return good(v1alpha1.ReasonProbeSucceeded, "the cluster accepts %s", shown(e)), nil
	}

	switch kindOf(e.outcome.auth) {
	case probe.Unauthenticated:
		remedy := "correct it"
		if e.token != "" {
			remedy = fmt.Sprintf("put a valid token under its key %q", connector.SecretKeyToken)
		}
		return bad(v1alpha1.ReasonAuthenticationFailed,
			"the cluster refuses %s (401 Unauthorized); %s", shown(e), remedy), nil
	case probe.Unauthorized:
		return bad(v1alpha1.ReasonAuthorizationFailed,
			"the cluster knows %s but forbids the probe (403 Forbidden); grant its user what the probe asks for", shown(e)), nil
	default:
		return notAsExpected(e, e.outcome.auth), nil
	}
}

// shown is what the target is shown.
func shown(e *evaluation) string {
	secret := e.connector.Spec.Auth.SecretRef.Name
	if e.token != "" {
		return fmt.Sprintf("the token in Secret %q", secret)
	}
	return fmt.Sprintf("what is in Secret %q", secret)
}
