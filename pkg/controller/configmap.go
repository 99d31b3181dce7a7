package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// errForeignConfigMap: the name of the ConfigMap is taken by somebody else's.
var errForeignConfigMap = errors.New("the ConfigMap belongs to somebody else")

// writeConnection makes the ConfigMap beside the Connector say what the
// Connector says: the address, and the certificates to trust, sealed with the
// token. They are public. It is written only if it says something else.
//
// A certificate that is no longer named goes from the ConfigMap at once, so that
// deleting a CA ends the trust in it in running Pods too.
func (r *reconciler) writeConnection(ctx context.Context, e *evaluation) error {
	desired, key := connectionOf(e), client.ObjectKeyFromObject(e.connector)
	switch there, ok := r.connections.of(key); {
	case !ok:
		err := r.connections.write(key, desired, func() error { return r.client.Create(ctx, desired) })
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
	case there == digestOf(desired):
		return nil
	}
	// Only hashes are known, and only of those with our label.
	var existing corev1.ConfigMap
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(desired), &existing); err != nil {
		return fmt.Errorf("reading ConfigMap %q: %w", desired.Name, err)
	}
	if !isOurs(&existing, e.connector) {
		return errForeignConfigMap
	}
	if digestOf(&existing) == digestOf(desired) {
		return nil // we shall hear of it, unless it is gone again
	}
	// What others put into it goes: a ca.crt of somebody else would be trusted by
	// the sidecars.
	existing.Data, existing.BinaryData = desired.Data, nil
	if existing.Labels == nil {
		existing.Labels = make(map[string]string)
	}
	maps.Copy(existing.Labels, desired.Labels)
	existing.OwnerReferences = append(slices.DeleteFunc(existing.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.Controller != nil && *owner.Controller
	}), desired.OwnerReferences...)
	return r.connections.write(key, &existing, func() error { return r.client.Update(ctx, &existing) })
}

// connectionOf is the ConfigMap as it should be.
func connectionOf(e *evaluation) *corev1.ConfigMap {
	c, controls := e.connector, true
	data := map[string]string{v1alpha1.ConnectionKeyAddress: e.address.String()}
	if e.ca.Len() > 0 {
		data[v1alpha1.ConnectionKeyCA] = string(e.ca.PEM())
	}
	if e.sealing != "" {
		ref := connector.Reference{Namespace: c.Namespace, Name: c.Name}
		data[v1alpha1.ConnectionKeySeal] = connector.Seal(e.sealing, ref, e.address, e.ca.PEM())
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace,
			Name:      v1alpha1.ConnectionConfigMapName(c.Name),
			Labels:    map[string]string{v1alpha1.LabelConnector: c.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(),
				Kind:       "Connector",
				Name:       c.Name,
				UID:        c.UID,
				Controller: &controls,
			}},
		},
		Data: data,
	}
}

// isOurs reports whether the ConfigMap is controlled by the Connector, or by one
// of the same name that was there before it: garbage collection may be slower
// than whoever creates a Connector anew.
func isOurs(configMap *corev1.ConfigMap, c *v1alpha1.Connector) bool {
	owner := metav1.GetControllerOf(configMap)
	if owner == nil {
		return false
	}
	group := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
	return owner.UID == c.UID || group.Group == v1alpha1.GroupName && group.Kind == "Connector" && owner.Name == c.Name
}
