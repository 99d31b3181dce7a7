package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// indexConnector finds Pods by the names of the Connectors that they use.
	indexConnector = "connector"
	// maxStatusLength is how much of a status annotation is read: more than
	// connector.MaxReferences entries ever take.
	maxStatusLength = 4096
)

// injectedPods says which Pods are cached, and what of them: those that were
// injected and have not ended.
func injectedPods() cache.ByObject {
	return cache.ByObject{
		Label: labels.SelectorFromSet(labels.Set{v1alpha1.LabelInjected: "true"}),
		Field: fields.AndSelectors(
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
		),
		Transform: onlyConnectors,
	}
}

// podMetadata is a Pod as it is cached: its identity, and as labels the names of
// the Connectors of its namespace that it uses, with the generation at which each
// was injected.
func podMetadata() *metav1.PartialObjectMetadata {
	pod := &metav1.PartialObjectMetadata{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	return pod
}

// onlyConnectors makes of the metadata of a Pod what podMetadata says: ten
// thousand Pods are cached.
func onlyConnectors(object any) (any, error) {
	pod, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone, which has no metadata of its own
	}
	if _, whole := pod.GetLabels()[v1alpha1.LabelInjected]; !whole {
		return object, nil // done before
	}
	used := readStatus(pod.GetAnnotations()[v1alpha1.AnnotationStatus], pod.GetNamespace())
	pod.SetLabels(used)
	pod.SetAnnotations(nil)
	pod.SetManagedFields(nil)
	pod.SetOwnerReferences(nil)
	pod.SetFinalizers(nil)
	pod.SetGenerateName("")
	return object, nil
}

// readStatus reads which Connectors of its own namespace a Pod was injected with.
// Whoever may create Pods can write the annotation too, so what is not as the
// webhook writes it does not count, and what it says of other namespaces is none
// of its business.
func readStatus(annotation, namespace string) map[string]string {
	if len(annotation) > maxStatusLength {
		return nil
	}
	var status struct {
		Connectors []struct {
			Name       string `json:"name"`
			Generation int64  `json:"generation"`
		} `json:"connectors"`
	}
	if json.Unmarshal([]byte(annotation), &status) != nil || len(status.Connectors) > connector.MaxReferences {
		return nil
	}
	used := make(map[string]string, len(status.Connectors))
	for _, entry := range status.Connectors {
		ref, err := connector.ParseReference(entry.Name, namespace)
		if err == nil && ref.Namespace == namespace {
			used[ref.Name] = strconv.FormatInt(entry.Generation, 10)
		}
	}
	return used
}

func indexPods(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, podMetadata(), indexConnector, func(pod client.Object) []string {
		return slices.Collect(maps.Keys(pod.GetLabels()))
	})
	if err != nil {
		return fmt.Errorf("indexing Pods by Connector: %w", err)
	}
	return nil
}

// countConsumers counts the Pods that use a Connector.
func countConsumers(ctx context.Context, pods client.Reader, c *v1alpha1.Connector) (v1alpha1.ConnectorConsumers, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := pods.List(ctx, list, client.InNamespace(c.Namespace), client.MatchingFields{indexConnector: c.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return v1alpha1.ConnectorConsumers{}, fmt.Errorf("listing the Pods that use the Connector: %w", err)
	}
	counts := v1alpha1.ConnectorConsumers{Pods: int32(len(list.Items))}
	// Another one, and not an older one: a Connector that was deleted and created
	// anew begins at 1 again.
	present := strconv.FormatInt(c.Generation, 10)
	for i := range list.Items {
		if list.Items[i].Labels[c.Name] != present {
			counts.Outdated++
		}
	}
	return counts, nil
}
