package controller

import (
	"maps"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// ManagerOptions are the options of a manager that the controller runs in: what
// is cached, and what never is. The caller adds addresses and leader election.
func ManagerOptions() (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, err
	}
	ofConnectors, err := labels.NewRequirement(v1alpha1.LabelConnector, selection.Exists, nil)
	if err != nil {
		return ctrl.Options{}, err
	}
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: withoutHistory,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}: {Transform: onlyIdentity},
				&corev1.ConfigMap{}: {
					Label:     labels.NewSelector().Add(*ofConnectors),
					Transform: onlyDigest,
				},
				&corev1.Pod{}: injectedPods(),
			},
		},
		Client: client.Options{
			FieldOwner: fieldOwner,
			// Reading a Secret through the cache would start to cache all Secrets,
			// with their data.
			Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}},
		},
	}, nil
}

// LimitTo makes a manager look at some namespaces only, and at the Secrets of the
// system namespace, so that it needs no rights in others.
func LimitTo(options *ctrl.Options, systemNamespace string, namespaces []string) {
	limited := make(map[string]cache.Config, len(namespaces)+1)
	for _, namespace := range namespaces {
		limited[namespace] = cache.Config{}
	}
	options.Cache.DefaultNamespaces = maps.Clone(limited)
	limited[systemNamespace] = cache.Config{} // certificates for every Connector
	for object, how := range options.Cache.ByObject {
		if _, ok := object.(*corev1.Secret); ok {
			how.Namespaces = limited
			options.Cache.ByObject[object] = how
		}
	}
}

// withoutHistory takes off what says how an object came to be: more than half of
// a Connector.
func withoutHistory(object any) (any, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone, which has no metadata of its own
	}
	accessor.SetManagedFields(nil)
	annotations := accessor.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if len(annotations) == 0 {
		accessor.SetAnnotations(nil)
	}
	if c, ok := object.(*v1alpha1.Connector); ok {
		shareTexts(c.Status.Conditions)
	}
	return object, nil
}

// shareTexts lets all Connectors share the texts of their conditions, which are few
// and half of what there is of a Connector.
func shareTexts(conditions []metav1.Condition) {
	share := func(s *string) { *s = unique.Make(*s).Value() }
	for i := range conditions {
		c := &conditions[i]
		share(&c.Type)
		share((*string)(&c.Status))
		share(&c.Reason)
		share(&c.Message)
	}
}

// onlyIdentity takes everything off the metadata of a Secret that finding its
// Connectors does not need. The annotations most of all: kubectl apply leaves
// the data of the Secret in one.
func onlyIdentity(object any) (any, error) {
	secret, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // as above
	}
	var kept map[string]string
	if value, ok := secret.GetLabels()[connector.LabelCACert]; ok {
		kept = map[string]string{connector.LabelCACert: value}
	}
	secret.SetLabels(kept)
	secret.SetAnnotations(nil)
	secret.SetManagedFields(nil)
	secret.SetOwnerReferences(nil)
	secret.SetFinalizers(nil)
	return object, nil
}

// onlyDigest puts a hash in the place of a ConfigMap's data, which is enough to
// see whether it is as it must be. It may be asked again about what it has
// changed already.
func onlyDigest(object any) (any, error) {
	if configMap, ok := object.(*corev1.ConfigMap); ok {
		configMap.Data = map[string]string{digestKey: digest(configMap)}
		configMap.BinaryData = nil
		configMap.Annotations = nil
		configMap.ManagedFields = nil
	}
	return object, nil
}
