package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// fieldOwner is the manager of every field that the controller writes.
	fieldOwner = "connector-controller"
	// concurrentReconciles bounds how many Connectors are looked at at once. A
	// reconcile waits for a probe no longer than patience.
	concurrentReconciles = 16
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
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	probes, err := newProber(options)
	if err != nil {
		return err
	}
	if err := mgr.Add(probes); err != nil {
		return fmt.Errorf("adding the prober: %w", err)
	}
	if err := mgr.Add(classInstaller{client: mgr.GetClient()}); err != nil {
		return fmt.Errorf("adding the installer of classes: %w", err)
	}
	r := &reconciler{
		client:  mgr.GetClient(),
		live:    mgr.GetAPIReader(),
		probes:  probes,
		options: options,
	}
	lookUp := lookUp{connectors: mgr.GetClient(), systemNamespace: options.SystemNamespace}
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err = ctrl.NewControllerManagedBy(mgr).
		Named("connector").
		// Our own writes of the status need no second look.
		For(&v1alpha1.Connector{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ConnectorClass{}, handler.EnqueueRequestsFromMapFunc(lookUp.ofClass)).
		WatchesMetadata(secrets, handler.EnqueueRequestsFromMapFunc(lookUp.ofSecret)).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(lookUp.ofConfigMap)).
		WatchesRawSource(probes.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentReconciles}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of Connectors: %w", err)
	}
	return addConsumers(ctx, mgr, options.Schedule.Consumers)
}
