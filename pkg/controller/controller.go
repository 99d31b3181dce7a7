package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// fieldOwner is the manager of every field that the controller writes.
	fieldOwner = "connector-controller"
	// concurrentReconciles bounds how many Connectors are looked at at once, and so
	// how many requests the API server gets at once. A reconcile mostly waits: for
	// the API server, and for a probe no longer than patience.
	concurrentReconciles = 32
	// firstRetry and lastRetry bound how long it takes until a look that failed, as
	// when the API server is away, is tried again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Options of the controller.
type Options struct {
	// SystemNamespace is where Secrets with certificates for every Connector are.
	SystemNamespace string
	// Schedule says how often Connectors are looked at without a change.
	Schedule Schedule
	// Probes say how targets are probed.
	Probes ProbeOptions
}

// Add adds the controller of Connectors to a manager, which must have been made
// with ManagerOptions.
func Add(ctx context.Context, mgr ctrl.Manager, options Options) error {
	known, ok := mgr.GetCache().(*followingCache)
	if !ok {
		return fmt.Errorf("the cache of the manager is %T; make the manager with ManagerOptions", mgr.GetCache())
	}
	if err := addIndex(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	looks := &looks{}
	probes, err := newProber(options, looks.at)
	if err != nil {
		return err
	}
	if err := mgr.Add(probes); err != nil {
		return fmt.Errorf("adding the prober: %w", err)
	}
	if err := mgr.Add(classInstaller{client: mgr.GetClient()}); err != nil {
		return fmt.Errorf("adding the installer of classes: %w", err)
	}
	events := newRecorder(mgr.GetClient())
	if err := mgr.Add(events); err != nil {
		return fmt.Errorf("adding the recorder of events: %w", err)
	}
	classes := &classStore{}
	if err := addClasses(mgr, classes, events); err != nil {
		return err
	}
	if err := addClassCounter(mgr, options.Schedule.Classes); err != nil {
		return err
	}
	r := newReconciler(known, mgr.GetAPIReader(), mgr.GetClient(), looks.at, options)
	known.secrets.Handle(r.authSecrets)
	known.secrets.Handle(r.caSecrets)
	known.configMaps.Handle(&r.connections)
	r.events, r.probes, r.classes = events, probes, classes
	lookUp := lookUp{connectors: mgr.GetClient()}
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err = ctrl.NewControllerManagedBy(mgr).
		Named("connector").
		// Our own writes of the status need no second look.
		For(&v1alpha1.Connector{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// Nor does what is said of a class in its status: its spec is what counts.
		Watches(&v1alpha1.ConnectorClass{}, onChange(lookUp.ofClass), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(secrets, onChange(func(ctx context.Context, _ client.Object) concerned {
			r.globalCAs.change()
			return lookUp.all(ctx)
		})).
		WatchesRawSource(looks.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrentReconciles,
			// All come back soon after the API server does, however long it was away.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of Connectors: %w", err)
	}
	return addConsumers(ctx, mgr, options.Schedule.Consumers)
}
