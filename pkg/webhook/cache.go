package webhook

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// trimConnector drops from a Connector, before it is cached, what takes more
// memory than the rest of it and is not read here: who manages which field, labels
// and annotations, one of which is kubectl's copy of all the rest, and the
// conditions but Ready, which summarizes them, and that Pods cannot use it at all.
func trimConnector(object any) (any, error) {
	c, ok := object.(*v1alpha1.Connector)
	if !ok {
		return object, nil // it was deleted, and we missed it
	}
	c.ManagedFields, c.Labels, c.Annotations = nil, nil, nil
	ready := slices.DeleteFunc(c.Status.Conditions, func(condition metav1.Condition) bool {
		return condition.Type != string(v1alpha1.ConditionReady) && condition.Reason != string(v1alpha1.ReasonNonProxy)
	})
	c.Status.Conditions = slices.Clip(slices.Clone(ready)) // the list it stood in is larger
	return c, nil
}

// trimClass leaves of a class how to authenticate, before it is cached.
func trimClass(object any) (any, error) {
	class, ok := object.(*v1alpha1.ConnectorClass)
	if !ok {
		return object, nil // it was deleted, and we missed it
	}
	class.ManagedFields, class.Labels, class.Annotations = nil, nil, nil
	class.Spec = v1alpha1.ConnectorClassSpec{Auth: class.Spec.Auth}
	class.Status = v1alpha1.ConnectorClassStatus{}
	return class, nil
}
