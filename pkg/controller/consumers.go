package controller

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// consumersFieldOwner is the manager of status.consumers and nothing else, so
	// that neither who counts nor who checks can take away what the other wrote.
	consumersFieldOwner = "connector-controller-consumers"
	// together is how long a change of a Pod waits for others: Pods seldom come
	// alone, and the next write has to wait.
	together = time.Second
)

// consumers keeps status.consumers: how many Pods use each Connector.
type consumers struct {
	client client.Client
	// every is the least time between two writes of one Connector.
	every time.Duration

	mu sync.Mutex
	// written is what this process wrote last, and when.
	written map[types.NamespacedName]count
}

// count is what was written of one Connector.
type count struct {
	uid types.UID
	v1alpha1.ConnectorConsumers
	at time.Time
}

func addConsumers(ctx context.Context, mgr ctrl.Manager, every time.Duration) error {
	if err := indexPods(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	r := &consumers{client: mgr.GetClient(), every: every, written: make(map[types.NamespacedName]count)}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("consumers").
		For(&v1alpha1.Connector{}, builder.WithPredicates(countChanged())).
		WatchesMetadata(podMetadata(), usedByPod(), builder.WithPredicates(otherConnectors())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			// Soon after the API server is back, however long it was away.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](together, 30*time.Second),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of consumers: %w", err)
	}
	return warm(ctx, mgr.GetCache())
}

// countChanged leaves out what happens to a Connector that cannot make its counts
// wrong. Another generation can, and so can somebody who writes them.
func countChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Connector), e.ObjectNew.(*v1alpha1.Connector)
		return !equality.Semantic.DeepEqual(before.Status.Consumers, after.Status.Consumers)
	}})
}

// otherConnectors leaves out what happens to a Pod that uses the same as before.
func otherConnectors() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

// usedByPod calls for a look at the Connectors that a Pod uses or used.
func usedByPod() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(q queue, pod client.Object) {
		for name := range pod.GetLabels() {
			q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}, together)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(q, e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			enqueue(q, e.ObjectOld)
			enqueue(q, e.ObjectNew)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(q, e.Object) },
	}
}

// Reconcile counts the Pods of one Connector, and writes the counts if they are
// not what the status says. It reads caches only.
func (r *consumers) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var c v1alpha1.Connector
	if err := r.client.Get(ctx, request.NamespacedName, &c); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the Connector: %w", err)
	}
	if !c.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	now, err := countConsumers(ctx, r.client, &c)
	if err != nil {
		return reconcile.Result{}, err
	}
	last, known := r.last(&c)
	if isCounted(c.Status.Consumers, now) && (!known || last.ConnectorConsumers == now) {
		return reconcile.Result{}, nil
	}
	if wait := r.every - time.Since(last.at); known && wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := r.write(ctx, &c, now); err != nil {
		return reconcile.Result{}, fmt.Errorf("writing how many Pods use the Connector: %w", err)
	}
	return reconcile.Result{}, nil
}

// isCounted reports whether the status says so already. One that never had any
// consumers need not say so: most Connectors of a large cluster are idle.
func isCounted(there *v1alpha1.ConnectorConsumers, now v1alpha1.ConnectorConsumers) bool {
	if there == nil {
		return now == v1alpha1.ConnectorConsumers{}
	}
	return *there == now
}

func (r *consumers) write(ctx context.Context, c *v1alpha1.Connector, now v1alpha1.ConnectorConsumers) error {
	object := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
		"consumers": map[string]any{"pods": int64(now.Pods), "outdated": int64(now.Outdated)},
	}}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	object.SetNamespace(c.Namespace)
	object.SetName(c.Name)
	object.SetUID(c.UID) // not that of one that was created anew under the name
	err := r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner(consumersFieldOwner))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[client.ObjectKeyFromObject(c)] = count{uid: c.UID, ConnectorConsumers: now, at: time.Now()}
	return nil
}

// last is what was written of a Connector. The cache may not show it yet.
func (r *consumers) last(c *v1alpha1.Connector) (count, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.written[client.ObjectKeyFromObject(c)]
	return last, ok && last.uid == c.UID
}

func (r *consumers) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, key)
}
