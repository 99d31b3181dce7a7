package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// globalCAs are the certificates that the administrator gives to every Connector:
// those of the labelled Secrets of the system namespace.
type globalCAs struct {
	// metadata is the cache, live the API server.
	metadata, live  client.Reader
	pool            *authorityPool
	systemNamespace string

	mu sync.Mutex
	// read is what was read of each Secret, by its name, and of is all of it.
	read map[string]readCA
	of   caSecret
	// complete says that all of them could be read, and none has changed since.
	complete bool
}

// readCA is one version of a Secret with certificates.
type readCA struct {
	version string
	caSecret
}

// globalCASecrets says of which Secrets the metadata is cached.
func globalCASecrets(systemNamespace string) cache.ByObject {
	return cache.ByObject{
		Namespaces: map[string]cache.Config{
			systemNamespace: {LabelSelector: labels.SelectorFromSet(labels.Set{connector.LabelCACert: "true"})},
		},
		Transform: onlyIdentity,
	}
}

// change notes that one of the Secrets has changed.
func (g *globalCAs) change() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.complete = false
}

// get reads the Secrets again only if one of them has changed.
func (g *globalCAs) get(ctx context.Context) (caSecret, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.complete {
		return g.of, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := g.metadata.List(ctx, list, client.InNamespace(g.systemNamespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return caSecret{}, fmt.Errorf("listing the Secrets with certificates for every Connector: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b metav1.PartialObjectMetadata) int { return cmp.Compare(a.Name, b.Name) })
	complete := true
	var all caSecret
	var parts []*authorities
	read := make(map[string]readCA, len(list.Items))
	for i := range list.Items {
		secret, there, err := g.secret(ctx, &list.Items[i])
		switch {
		case apierrors.IsForbidden(err):
			f := unreadable(list.Items[i].Name)
			secret.problem, complete = &f, false
		case err != nil:
			return caSecret{}, err
		case !there:
			continue
		default:
			read[list.Items[i].Name] = secret
		}
		if secret.ca != nil {
			parts = append(parts, secret.ca)
		}
		if secret.problem != nil && all.problem == nil {
			all.problem = inSystemNamespace(g.systemNamespace, secret.problem)
		}
	}
	all.ca = g.pool.join(parts...)
	g.read, g.of, g.complete = read, all, complete
	return all, nil
}

// secret reads one Secret, unless this version of it was read before. It is false
// if there is none any more.
func (g *globalCAs) secret(ctx context.Context, metadata *metav1.PartialObjectMetadata) (read readCA, there bool, err error) {
	if read = g.read[metadata.Name]; read.version == metadata.ResourceVersion {
		return read, true, nil
	}
	var secret corev1.Secret
	err = readSecret(ctx, g.live, client.ObjectKeyFromObject(metadata), metadata.ResourceVersion, &secret)
	if apierrors.IsNotFound(err) {
		return readCA{}, false, nil
	}
	if err != nil {
		return readCA{}, false, fmt.Errorf("reading Secret %q: %w", metadata.Name, err)
	}
	return readCA{secret.ResourceVersion, g.pool.keepCA(&secret)}, true, nil
}
