package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
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
	key := types.NamespacedName{Namespace: e.connector.Namespace, Name: v1alpha1.ConnectionConfigMapName(e.connector.Name)}
	data := map[string]string{v1alpha1.ConnectionKeyAddress: e.address.String()}
	if e.ca.Len() > 0 {
		data[v1alpha1.ConnectionKeyCA] = string(e.ca.PEM())
	}
	if e.token != "" {
		ref := connector.Reference{Namespace: key.Namespace, Name: e.connector.Name}
		data[v1alpha1.ConnectionKeySeal] = connector.Seal(e.token, ref, e.address, e.ca.PEM())
	}

	existing, err := r.readConfigMap(ctx, key)
	if err != nil {
		return err
	}
	if existing != nil {
		if !isOurs(existing, e.connector) {
			return errForeignConfigMap
		}
		if says(existing, e.connector, data) {
			return nil
		}
		if err := r.removeOthersData(ctx, existing, e.connector, data); err != nil {
			return fmt.Errorf("cleaning ConfigMap %q: %w", key.Name, err)
		}
	}
	desired := corev1apply.ConfigMap(key.Name, key.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelConnector: e.connector.Name}).
		WithOwnerReferences(metav1apply.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).
			WithKind("Connector").
			WithName(e.connector.Name).
			WithUID(e.connector.UID).
			WithController(true)).
		WithData(data)
	if err := r.client.Apply(ctx, desired, client.ForceOwnership); err != nil {
		return fmt.Errorf("applying ConfigMap %q: %w", key.Name, err)
	}
	return nil
}

// readConfigMap reads a ConfigMap, nil if there is none. The cache holds those
// with our label only, so what it does not have is asked of the API server.
func (r *reconciler) readConfigMap(ctx context.Context, key types.NamespacedName) (*corev1.ConfigMap, error) {
	var configMap corev1.ConfigMap
	err := r.client.Get(ctx, key, &configMap)
	if apierrors.IsNotFound(err) {
		err = r.live.Get(ctx, key, &configMap)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %q: %w", key.Name, err)
	}
	return &configMap, nil
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

// says reports whether the ConfigMap is as it must be and nothing more.
func says(configMap *corev1.ConfigMap, c *v1alpha1.Connector, data map[string]string) bool {
	return maps.Equal(configMap.Data, data) &&
		len(configMap.BinaryData) == 0 &&
		configMap.Labels[v1alpha1.LabelConnector] == c.Name &&
		metav1.IsControlledBy(configMap, c)
}

// removeOthersData removes what others put into the ConfigMap, and the mark of a
// predecessor. An apply does not: it leaves alone what it does not speak of, and
// a ca.crt of somebody else would be trusted by the sidecars.
func (r *reconciler) removeOthersData(ctx context.Context, configMap *corev1.ConfigMap, c *v1alpha1.Connector, data map[string]string) error {
	extra := make(map[string]any)
	for key := range configMap.Data {
		if _, ok := data[key]; !ok {
			extra[key] = nil
		}
	}
	metadata := map[string]any{"resourceVersion": configMap.ResourceVersion}
	hasPredecessor := !metav1.IsControlledBy(configMap, c)
	if hasPredecessor {
		metadata["ownerReferences"] = slices.DeleteFunc(slices.Clone(configMap.OwnerReferences), func(owner metav1.OwnerReference) bool {
			return owner.Controller != nil && *owner.Controller
		})
	}
	if len(extra) == 0 && len(configMap.BinaryData) == 0 && !hasPredecessor {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata, "data": extra, "binaryData": nil})
	if err != nil {
		return err
	}
	return r.client.Patch(ctx, configMap, client.RawPatch(types.MergePatchType, patch))
}
