package controller

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Indexes of Connectors.
const (
	indexClass  = "class"
	indexSecret = "secret"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for name, values := range map[string]func(*v1alpha1.Connector) []string{
		indexClass:  func(c *v1alpha1.Connector) []string { return []string{c.Spec.ConnectorClassName} },
		indexSecret: secretsOf,
	} {
		err := indexer.IndexField(ctx, &v1alpha1.Connector{}, name, func(object client.Object) []string {
			return values(object.(*v1alpha1.Connector))
		})
		if err != nil {
			return fmt.Errorf("indexing Connectors by %s: %w", name, err)
		}
	}
	return nil
}

// secretsOf are the names of the Secrets that a Connector refers to. All are in
// its own namespace, which the index keeps apart.
func secretsOf(c *v1alpha1.Connector) []string {
	var names []string
	if c.Spec.Auth != nil && c.Spec.Auth.SecretRef != nil {
		names = append(names, c.Spec.Auth.SecretRef.Name)
	}
	if c.Spec.CACertSecretRef != nil {
		names = append(names, c.Spec.CACertSecretRef.Name)
	}
	return names
}

// lookUp finds the Connectors that a change of something else concerns.
type lookUp struct {
	connectors      client.Reader
	systemNamespace string
}

func (l lookUp) ofClass(ctx context.Context, class client.Object) []reconcile.Request {
	return l.list(ctx, client.MatchingFields{indexClass: class.GetName()})
}

func (l lookUp) ofSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	if l.isGlobalCA(secret) {
		return l.list(ctx)
	}
	return l.list(ctx, client.InNamespace(secret.GetNamespace()), client.MatchingFields{indexSecret: secret.GetName()})
}

// isGlobalCA is asked about both sides of an update, so that taking the label
// away counts too.
func (l lookUp) isGlobalCA(secret client.Object) bool {
	return secret.GetNamespace() == l.systemNamespace && secret.GetLabels()[connector.LabelCACert] == "true"
}

// ofConfigMap goes by the name and not by the owner reference, so that a
// ConfigMap that lost the reference or got in the way of ours counts too.
func (l lookUp) ofConfigMap(_ context.Context, configMap client.Object) []reconcile.Request {
	name, ok := strings.CutSuffix(configMap.GetName(), v1alpha1.ConnectionConfigMapName(""))
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: configMap.GetNamespace(), Name: name}}}
}

func (l lookUp) list(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	var connectors v1alpha1.ConnectorList
	if err := l.connectors.List(ctx, &connectors, options...); err != nil {
		// From the cache this fails on a wrong index only; the next look of each
		// Connector will come all the same.
		log.FromContext(ctx).Error(err, "cannot list the Connectors that a change concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(connectors.Items))
	for i := range connectors.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&connectors.Items[i])})
	}
	return requests
}
