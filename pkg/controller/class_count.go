package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// classCountFieldOwner is the manager of status.connectors and nothing else, so
// that neither who counts nor who validates can take away what the other wrote.
const classCountFieldOwner client.FieldOwner = "connector-controller-classes"

// classCounter keeps status.connectors: how many Connectors are of each class. The
// policy that protects a class in use reads it.
type classCounter struct {
	client client.Client
	// every is the least time between two writes of one class.
	every time.Duration

	mu sync.Mutex
	// written is when this process last wrote of each class.
	written map[string]time.Time
}

func addClassCounter(mgr ctrl.Manager, every time.Duration) error {
	byClass := func(_ context.Context, object client.Object) []reconcile.Request {
		name := object.(*v1alpha1.Connector).Spec.ConnectorClassName
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("connectorclass-count").
		For(&v1alpha1.ConnectorClass{}).
		// Asked about both sides of an update, so that the class it had counts too.
		Watches(&v1alpha1.Connector{}, handler.EnqueueRequestsFromMapFunc(byClass),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(&classCounter{client: mgr.GetClient(), every: every, written: make(map[string]time.Time)})
	if err != nil {
		return fmt.Errorf("adding the controller that counts Connectors: %w", err)
	}
	return nil
}

// Reconcile counts the Connectors of one class, and writes the count if it is not
// what the status says. It reads caches only.
func (r *classCounter) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var class v1alpha1.ConnectorClass
	err := r.client.Get(ctx, request.NamespacedName, &class)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the ConnectorClass: %w", err)
	}
	if wait := r.wait(class.Name, time.Now()); wait > 0 {
		// What the cache says of the class may be older than what was written, too.
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	var connectors v1alpha1.ConnectorList
	// They are counted and not changed, so there is no need to copy thousands.
	err = r.client.List(ctx, &connectors, client.MatchingFields{indexClass: class.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("listing its Connectors: %w", err)
	}
	if int(class.Status.Connectors) == len(connectors.Items) {
		return reconcile.Result{}, nil
	}
	status := map[string]any{"connectors": int64(len(connectors.Items))}
	if err := applyClassStatus(ctx, r.client, &class, status, classCountFieldOwner); err != nil {
		return reconcile.Result{}, fmt.Errorf("writing how many Connectors there are: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[class.Name] = time.Now()
	return reconcile.Result{}, nil
}

// wait is how long nothing must be written of a class.
func (r *classCounter) wait(name string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.written[name]
	if !ok {
		return 0
	}
	if wait := r.every - now.Sub(at); wait > 0 {
		return wait
	}
	delete(r.written, name) // and so nothing stays of classes that are gone
	return 0
}
