package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// pageOfSecrets is how many Secrets are read at once. Those with a token have a
	// kilobyte, but each may have a megabyte, whoever made it.
	pageOfSecrets = 20
	// readAheadFor is how long the first looks are held up at most.
	readAheadFor = 10 * time.Second
)

// readAhead reads tokens before the controller begins to look at Connectors: in pages,
// which costs the API server far less than reading each for itself. It reads Secrets of
// our own type only, which are for Connectors and nothing else, and holds those that
// Connectors name.
type readAhead struct {
	reconciler *reconciler
	// namespaces are those that are followed, one that is empty for all.
	namespaces []string
}

// Start implements source.Source.
func (readAhead) Start(context.Context, workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	return nil
}

// WaitForSync implements source.SyncingSource. What it cannot read, the looks do.
func (a readAhead) WaitForSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readAheadFor)
	defer cancel()
	users := a.users(ctx)
	for _, namespace := range a.namespaces {
		if err := a.read(ctx, namespace, users); err != nil {
			log.FromContext(ctx).Info("cannot read Secrets ahead; each is read when its Connector is looked at", "error", err.Error())
			return nil
		}
	}
	return nil
}

// users are the Connectors of each Secret that may hold a token.
func (a readAhead) users(ctx context.Context) map[types.NamespacedName][]types.NamespacedName {
	users := make(map[types.NamespacedName][]types.NamespacedName)
	for _, c := range (lookUp{connectors: a.reconciler.client}).list(ctx) {
		if auth := c.Spec.Auth; auth != nil && auth.SecretRef != nil && !isElsewhere(auth.SecretRef, c.Namespace) {
			key := types.NamespacedName{Namespace: c.Namespace, Name: auth.SecretRef.Name}
			users[key] = append(users[key], client.ObjectKeyFromObject(&c))
		}
	}
	return users
}

func (a readAhead) read(ctx context.Context, namespace string, users map[types.NamespacedName][]types.NamespacedName) error {
	options := &client.ListOptions{
		Namespace:     namespace,
		FieldSelector: fields.OneTermEqualSelector("type", connector.SecretTypeBearerToken),
		Limit:         pageOfSecrets,
	}
	for {
		var page corev1.SecretList
		if err := a.reconciler.live.List(ctx, &page, options); err != nil {
			return err
		}
		for i := range page.Items {
			secret := &page.Items[i]
			for _, user := range users[client.ObjectKeyFromObject(secret)] {
				a.reconciler.authSecrets.learn(user, secret)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
}
