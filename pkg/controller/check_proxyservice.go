package controller

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// proxyURL is where the sidecar listens in the Pod that it is in.
const proxyURL = "http://127.0.0.1:17443"

// checkProxyService gives the sidecars what they need of a Connector. It does so
// whether or not the target answers: Pods may start before it does. While it is
// not known what there is to give, what was given stays.
func (r *reconciler) checkProxyService(ctx context.Context, e *evaluation) (finding, error) {
	e.proxy = e.connector.Status.Proxy
	anyType := e.authType != nil && e.authType.SecretType == ""
	switch secret := e.findings[v1alpha1.ConditionSecretReady]; {
	case !e.ready(v1alpha1.ConditionConnectorClassReady):
		return unknown("waits for the ConnectorClass, which says how to authenticate"), nil
	case secret.status == metav1.ConditionUnknown, anyType && !secret.ready():
		return unknown("waits for the Secret"), nil
	case !e.bringsToken():
		e.proxy = nil
		return good(v1alpha1.ReasonNonProxy, "the sidecar cannot serve it: it brings bearer tokens only"), nil
	case e.address.IsZero():
		return unknown("waits for a valid spec.address"), nil
	}

	e.proxy = &v1alpha1.ConnectorProxy{HTTPAddress: &v1alpha1.ProxyAddress{URL: proxyURL}}
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

// bringsToken reports whether the Connector authenticates by a bearer token, or
// will once its Secret is as it must be.
func (e *evaluation) bringsToken() bool {
	switch {
	case e.authType == nil, e.findings[v1alpha1.ConditionSecretReady].reason == v1alpha1.ReasonSecretOptional:
		return false
	case e.authType.SecretType == "":
		return e.token != ""
	default:
		return carriesToken(e.authType, e.authType.SecretType)
	}
}

// answerOf is what the API server said, without where we heard it.
func answerOf(err error) string {
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) {
		return answer.Status().Message
	}
	return err.Error()
}
