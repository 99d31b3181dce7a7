package controller

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// checkClass finds the class and the auth type in it, and compares the Connector
// with what the class asks for.
func (r *reconciler) checkClass(ctx context.Context, e *evaluation) (finding, error) {
	var class v1alpha1.ConnectorClass // as it is in the cache: nobody may change it
	name := e.connector.Spec.ConnectorClassName
	err := r.client.Get(ctx, types.NamespacedName{Name: name}, &class, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return bad(v1alpha1.ReasonConnectorClassNotFound,
			"ConnectorClass %q does not exist; create it or correct spec.connectorClassName", name), nil
	}
	if err != nil {
		return finding{}, fmt.Errorf("reading ConnectorClass %q: %w", name, err)
	}

	compiled := r.classes.compile(&class)
	if !compiled.ready.ready() {
		return bad(v1alpha1.ReasonConnectorClassNotReady, "ConnectorClass %q is not ready: %s", name, compiled.ready.message), nil
	}
	authType, problem := chooseAuthType(&class, e.connector.Spec.Auth)
	if problem != "" {
		return bad(v1alpha1.ReasonConnectorClassNotReady, "ConnectorClass %q %s", name, problem), nil
	}
	e.class, e.probes, e.authType = &class, compiled.probes, authType
	if problem := paramsProblem(e.connector, &class, authType); problem != "" {
		return bad(v1alpha1.ReasonParamsInvalid, "%s", abbreviate(problem)), nil
	}
	return good(v1alpha1.ReasonResolved, "ConnectorClass %q is used", name), nil
}

// chooseAuthType is the auth type of the class that a Connector means, nil if
// the class has none and the Connector asks for none. The problem says what the
// class cannot offer.
func chooseAuthType(class *v1alpha1.ConnectorClass, auth *v1alpha1.ConnectorAuth) (_ *v1alpha1.AuthType, problem string) {
	var types []v1alpha1.AuthType
	if class.Spec.Auth != nil {
		types = class.Spec.Auth.Types
	}
	wanted := ""
	if auth != nil {
		wanted = auth.Name
	}
	switch {
	case len(types) == 0 && wanted == "":
		return nil, ""
	case len(types) == 0:
		return nil, fmt.Sprintf("offers no authentication; remove spec.auth.name %q", wanted)
	case len(types) > 1 && wanted == "":
		return nil, fmt.Sprintf("offers %s; name one of them in spec.auth.name", offered(types))
	}
	if authType := class.Spec.AuthType(wanted); authType != nil {
		return authType, ""
	}
	return nil, fmt.Sprintf("does not offer spec.auth.name %q; it offers %s", wanted, offered(types))
}

func offered(types []v1alpha1.AuthType) string {
	names := make([]string, len(types))
	for i := range types {
		names[i] = types[i].Name
	}
	return strings.Join(names, ", ")
}
