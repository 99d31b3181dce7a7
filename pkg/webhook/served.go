package webhook

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// notServed says why the sidecar cannot serve a Connector, whatever becomes of its
// target and its Secret: a Pod with it would never work. It is empty if it can, and
// also if the class is not there: that may pass.
func (i *Injector) notServed(ctx context.Context, c *v1alpha1.Connector) (string, error) {
	if served := settled(c, v1alpha1.ConditionProxyServiceReady); served != nil && served.Reason == string(v1alpha1.ReasonNonProxy) {
		return served.Message, nil
	}
	if settled(c, v1alpha1.ConditionReady) != nil {
		return "", nil // it was checked
	}
	var class v1alpha1.ConnectorClass
	err := i.Cache.Get(ctx, types.NamespacedName{Name: c.Spec.ConnectorClassName}, &class)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name := ""
	if c.Spec.Auth != nil {
		name = c.Spec.Auth.Name
	}
	authType := class.Spec.AuthType(name)
	const bringsTokens = "the sidecar cannot serve it: it brings bearer tokens only, and "
	switch {
	case authType == nil:
		return "", nil
	case authType.Generator != nil:
		return fmt.Sprintf(bringsTokens+"%s makes something else out of the Secret", authType.Name), nil
	case authType.SecretType != "" && !connector.CarriesToken(authType.SecretType):
		return fmt.Sprintf(bringsTokens+"Secrets of type %s have none", authType.SecretType), nil
	default:
		return "", nil
	}
}

// settled is a condition of the present generation, or nil.
func settled(c *v1alpha1.Connector, condition v1alpha1.ConditionType) *metav1.Condition {
	found := meta.FindStatusCondition(c.Status.Conditions, string(condition))
	if found == nil || found.ObservedGeneration != c.Generation {
		return nil
	}
	return found
}
