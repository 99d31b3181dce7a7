package controller

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// proxyURL is where the sidecar listens in the Pod that it is in.
const proxyURL = "http://127.0.0.1:17443"

// checkProxyService gives the sidecars what they need of a Connector. It does so
// whether or not the target answers: Pods may start before it does.
func (r *reconciler) checkProxyService(ctx context.Context, e *evaluation) (finding, error) {
	if e.address.IsZero() {
		return unknown("waits for a valid spec.address"), nil
	}
	err := r.writeConnection(ctx, e)
	name := v1alpha1.ConnectionConfigMapName(e.connector.Name)
	switch {
	case errors.Is(err, errForeignConfigMap):
		return bad(v1alpha1.ReasonConfigMapConflict,
			"ConfigMap %q belongs to somebody else, but the sidecars need the name; delete or rename it", name), nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		// These do not pass by themselves: a quota, a policy, an immutable
		// ConfigMap, too many certificates.
		return bad(v1alpha1.ReasonProxyServiceNotFound,
			"ConfigMap %q, which the sidecars need, cannot be written: %s", name, abbreviate(answerOf(err))), nil
	case err != nil:
		return finding{}, err
	}
	return good(v1alpha1.ReasonAmbassador, "Pods reach the cluster through the sidecar in them"), nil
}

// answerOf is what the API server said, without where we heard it.
func answerOf(err error) string {
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) {
		return answer.Status().Message
	}
	return err.Error()
}

// abbreviate keeps a message of the API server from filling the status.
func abbreviate(s string) string {
	const most = 200
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
