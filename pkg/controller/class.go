package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// classReconciler says in the status of each ConnectorClass whether it is valid.
// Connectors do not wait for that: they ask the same classStore.
type classReconciler struct {
	client  client.Client
	live    client.Reader // for the same reason as that of the reconciler
	classes *classStore
	events  *recorder
}

func addClasses(mgr ctrl.Manager, classes *classStore, events *recorder) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("connectorclass").
		For(&v1alpha1.ConnectorClass{}).
		Complete(&classReconciler{
			client:  mgr.GetClient(),
			live:    mgr.GetAPIReader(),
			classes: classes,
			events:  events,
		})
	if err != nil {
		return fmt.Errorf("adding the controller of ConnectorClasses: %w", err)
	}
	return nil
}

// Reconcile validates one class, and writes what it finds if that is news.
func (r *classReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var class v1alpha1.ConnectorClass
	err := r.live.Get(ctx, request.NamespacedName, &class)
	if apierrors.IsNotFound(err) {
		r.classes.forget(request.Name)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the ConnectorClass: %w", err)
	}

	found := r.classes.compile(&class).ready
	conditions := slices.Clone(class.Status.Conditions)
	changed := meta.SetStatusCondition(&conditions, metav1.Condition{
		Type:               string(v1alpha1.ConditionReady),
		Status:             found.status,
		Reason:             string(found.reason),
		Message:            found.message,
		ObservedGeneration: class.Generation,
	})
	if !changed && class.Status.ObservedGeneration == class.Generation {
		return reconcile.Result{}, nil
	}
	after := meta.FindStatusCondition(conditions, string(v1alpha1.ConditionReady))
	if err := r.write(ctx, &class, after); err != nil {
		return reconcile.Result{}, fmt.Errorf("writing the status: %w", err)
	}

	before := meta.FindStatusCondition(class.Status.Conditions, string(v1alpha1.ConditionReady))
	if before == nil || before.Status != after.Status {
		kind := corev1.EventTypeNormal
		if !found.ready() {
			kind = corev1.EventTypeWarning
		}
		r.events.tell(ctx, &class, kind, after.Reason, "Validate", after.Message)
		log.FromContext(ctx).Info("ConnectorClass changed", "ready", after.Status, "reason", after.Reason, "message", after.Message)
	}
	return reconcile.Result{}, nil
}

func (r *classReconciler) write(ctx context.Context, class *v1alpha1.ConnectorClass, ready *metav1.Condition) error {
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.ConnectorClassStatus{
		ObservedGeneration: class.Generation,
		Conditions:         []metav1.Condition{*ready},
	})
	if err != nil {
		return err
	}
	return applyClassStatus(ctx, r.client, class, status, fieldOwner)
}

// applyClassStatus applies a part of the status of a class. It is no error if the
// class is not there any more.
func applyClassStatus(ctx context.Context, c client.Client, class *v1alpha1.ConnectorClass, status map[string]any, owner client.FieldOwner) error {
	object := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ConnectorClass"))
	object.SetName(class.Name)
	object.SetUID(class.UID) // not that of one that was created anew under the name
	err := c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, owner)
	return client.IgnoreNotFound(err)
}
