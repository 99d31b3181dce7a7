package controller

import (
	"context"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// checkAuth says what the target thinks of the token. checkLiveness asked it.
func (r *reconciler) checkAuth(_ context.Context, e *evaluation) (finding, error) {
	switch {
	case !e.ready(v1alpha1.ConditionConnectorClassReady):
		return unknown("waits for the ConnectorClass, which says how to authenticate"), nil
	case !e.ready(v1alpha1.ConditionSecretReady):
		return unknown("waits for the Secret"), nil
	case e.token == "":
		return good(v1alpha1.ReasonNonAuthProbe, "there is no token to try"), nil
	case e.outcome == nil && !e.address.IsZero():
		return stillProbing(e, v1alpha1.ConditionAuthReady), nil
	case !e.ready(v1alpha1.ConditionLivenessReady):
		return unknown("waits for the cluster to answer, see LivenessReady"), nil
	}

	if e.outcome.auth == nil {
		return good(v1alpha1.ReasonProbeSucceeded, "the cluster accepts the token"), nil
	}
	secret := e.connector.Spec.Auth.SecretRef.Name
	switch kindOf(e.outcome.auth) {
	case probe.Unauthenticated:
		return bad(v1alpha1.ReasonAuthenticationFailed,
			"the cluster refuses the token in Secret %q (401 Unauthorized); put a valid token under its key %q", secret, connector.SecretKeyToken), nil
	case probe.Unauthorized:
		return bad(v1alpha1.ReasonAuthorizationFailed,
			"the cluster forbids the user of the token in Secret %q to ask for itself (403 Forbidden); bind it to the ClusterRole system:basic-user there", secret), nil
	default:
		return bad(v1alpha1.ReasonProbeFailed, "%v", e.outcome.auth), nil
	}
}
