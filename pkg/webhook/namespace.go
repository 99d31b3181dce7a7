package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// namespace is what counts of the Pod's namespace. Its default Connectors are
// only looked up for Pods that use them, and once more live if they are not in
// the cache: namespace and Pod are often applied in one go.
func (i *Injector) namespace(ctx context.Context, pod *corev1.Pod, name string) (inject.Namespace, error) {
	ns := inject.Namespace{Name: name, Injection: i.Injection}
	if !inject.UsesDefaults(pod, i.Injection) {
		return ns, nil
	}
	for _, reader := range []client.Reader{i.Cache, i.Live} {
		var object corev1.Namespace
		if err := reader.Get(ctx, types.NamespacedName{Name: name}, &object); client.IgnoreNotFound(err) != nil {
			return inject.Namespace{}, err
		}
		ns.Connectors = object.Annotations[v1alpha1.AnnotationConnectors]
		if ns.Connectors != "" {
			break
		}
	}
	return ns, nil
}

// keepDefaults leaves out of a namespace all that nobody reads of it in the cache.
func keepDefaults(object any) (any, error) {
	namespace, ok := object.(*corev1.Namespace)
	if !ok {
		return object, nil // it was deleted, and we missed it
	}
	kept := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace.Name, UID: namespace.UID, ResourceVersion: namespace.ResourceVersion,
	}}
	if names, ok := namespace.Annotations[v1alpha1.AnnotationConnectors]; ok {
		kept.Annotations = map[string]string{v1alpha1.AnnotationConnectors: names}
	}
	return kept, nil
}
