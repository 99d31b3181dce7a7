package controller

import (
	"context"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/follow"
)

// followingCache is the cache of the manager, and follows besides what is not worth
// caching. It is synced when all of it is, so that a replica that lacks a right
// waits for it and says that it is not ready, instead of leading and ending over it.
type followingCache struct {
	cache.Cache
	secrets, configMaps *follow.Follower
}

func newCache(config *rest.Config, options cache.Options) (cache.Cache, error) {
	under, err := cache.New(config, options)
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{HTTPClient: options.HTTPClient, Scheme: options.Scheme, Mapper: options.Mapper})
	if err != nil {
		return nil, err
	}
	ofConnectors, err := connectionSelector()
	if err != nil {
		return nil, err
	}
	secret, secrets := &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadataList{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	namespaces := slices.Collect(maps.Keys(options.DefaultNamespaces))
	return &followingCache{
		Cache:   under,
		secrets: follow.New(c, follow.Kind{Object: secret, List: secrets, Transform: onlyIdentity}, namespaces...),
		configMaps: follow.New(c, follow.Kind{
			Object: &corev1.ConfigMap{}, List: &corev1.ConfigMapList{}, Selector: ofConnectors, Transform: onlyDigest,
		}, namespaces...),
	}, nil
}

// Start implements cache.Cache.
func (c *followingCache) Start(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running.Go(func() { c.secrets.Start(ctx) })
	running.Go(func() { c.configMaps.Start(ctx) })
	return c.Cache.Start(ctx)
}

// WaitForCacheSync implements cache.Cache.
func (c *followingCache) WaitForCacheSync(ctx context.Context) bool {
	return c.Cache.WaitForCacheSync(ctx) && c.secrets.WaitForSync(ctx) && c.configMaps.WaitForSync(ctx)
}
