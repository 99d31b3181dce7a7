package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// globalCAs are the certificates that the administrator gives to every Connector:
// those of the labelled Secrets of the system namespace.
type globalCAs struct {
	// metadata is the cache.
	metadata        client.Reader
	secrets         *secretStore[caSecret]
	pool            *authorityPool
	systemNamespace string

	mu sync.Mutex
	// names are those of the Secrets, and of is what they are as of versions.
	names    []types.NamespacedName
	versions string
	of       caSecret
	// complete says that all of them could be read.
	complete bool
}

// get reads the Secrets again only if one of them has changed.
func (g *globalCAs) get(ctx context.Context) (caSecret, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := g.metadata.List(ctx, list, client.InNamespace(g.systemNamespace),
		client.MatchingLabels{connector.LabelCACert: "true"}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return caSecret{}, fmt.Errorf("listing the Secrets with certificates for every Connector: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b metav1.PartialObjectMetadata) int { return cmp.Compare(a.Name, b.Name) })
	var names []types.NamespacedName
	var versions strings.Builder
	for i := range list.Items {
		names = append(names, client.ObjectKeyFromObject(&list.Items[i]))
		fmt.Fprintf(&versions, "%s %s\n", list.Items[i].Name, list.Items[i].ResourceVersion)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.complete && g.versions == versions.String() {
		return g.of, nil
	}
	complete := true
	var all caSecret
	var parts []*authorities
	for _, name := range names {
		secret, there, err := g.secrets.get(ctx, g.user(name), name)
		switch {
		case apierrors.IsForbidden(err):
			f := unreadable(name.Name)
			secret.problem, complete = &f, false
		case err != nil:
			return caSecret{}, err
		case !there:
			continue
		}
		if secret.ca != nil {
			parts = append(parts, secret.ca)
		}
		if secret.problem != nil && all.problem == nil {
			all.problem = inSystemNamespace(g.systemNamespace, secret.problem)
		}
	}
	for _, name := range g.names {
		if !slices.Contains(names, name) {
			g.secrets.forget(g.user(name))
		}
	}
	all.ca = g.pool.join(parts...)
	g.names, g.versions, g.of, g.complete = names, versions.String(), all, complete
	return all, nil
}

// user is who uses a global CA Secret: nobody who could be a Connector.
func (g *globalCAs) user(secret types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Name: secret.Name}
}
