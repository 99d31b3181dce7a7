package controller

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// ManagerOptions are the options of a manager that the controller runs in: what
// is cached, what is followed only, and what never is. In the system namespace are
// the certificates for every Connector. The caller adds addresses and leader
// election.
func ManagerOptions(systemNamespace string) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, err
	}
	return ctrl.Options{
		Scheme:   scheme,
		NewCache: newCache,
		Cache: cache.Options{
			DefaultTransform: withoutHistory,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}: globalCASecrets(systemNamespace),
				&corev1.Pod{}:    injectedPods(),
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

// LimitTo makes a manager look at some namespaces only, and at the certificates in
// the system namespace, so that it needs no rights in others.
func LimitTo(options *ctrl.Options, namespaces []string) {
	options.Cache.DefaultNamespaces = make(map[string]cache.Config, len(namespaces))
	for _, namespace := range namespaces {
		options.Cache.DefaultNamespaces[namespace] = cache.Config{}
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
		shareTexts(c)
	}
	return object, nil
}

// shareTexts lets all Connectors share the texts that many of them have: those of
// their conditions are half of what there is of a Connector.
func shareTexts(c *v1alpha1.Connector) {
	share := func(texts ...*string) {
		for _, text := range texts {
			*text = shared(*text)
		}
	}
	share(&c.Kind, &c.APIVersion, &c.Namespace, &c.Spec.ConnectorClassName, &c.Spec.Address)
	if auth := c.Spec.Auth; auth != nil {
		share(&auth.Name)
	}
	for i := range c.Status.Conditions {
		condition := &c.Status.Conditions[i]
		share(&condition.Type, (*string)(&condition.Status), &condition.Reason, &condition.Message)
	}
	if target := c.Status.Target; target != nil {
		share(&target.Version)
	}
	if proxy := c.Status.Proxy; proxy != nil && proxy.HTTPAddress != nil {
		share(&proxy.HTTPAddress.URL)
	}
}

// shared is a text that is in memory once, however many have it.
func shared(text string) string { return unique.Make(text).Value() }

// onlyIdentity takes everything off the metadata of a Secret but which one it is,
// and which version. The annotations most of all: kubectl apply leaves the data of
// the Secret in one.
func onlyIdentity(object any) (any, error) {
	secret, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // as above
	}
	secret.SetLabels(nil)
	secret.SetAnnotations(nil)
	secret.SetManagedFields(nil)
	secret.SetOwnerReferences(nil)
	secret.SetFinalizers(nil)
	return object, nil
}
