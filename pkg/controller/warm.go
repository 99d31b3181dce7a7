package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// warm has everything cached that is watched, before this replica leads. It can
// then take over at once; and one that lacks a right says that it is not ready
// and waits for it, instead of leading and ending over it.
func warm(ctx context.Context, informers cache.Informers) error {
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	for _, object := range []client.Object{&v1alpha1.Connector{}, &v1alpha1.ConnectorClass{}, secrets, podMetadata()} {
		if _, err := informers.GetInformer(ctx, object); err != nil {
			return fmt.Errorf("caching %T: %w", object, err)
		}
	}
	return nil
}
