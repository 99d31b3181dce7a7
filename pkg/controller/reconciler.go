package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// reconciler looks at Connectors.
type reconciler struct {
	// client reads from the cache, live from the API server: Secrets, and
	// Connectors, because what the status says must be compared with what it
	// really says, or a change back could be taken for no change.
	client  client.Client
	live    client.Reader
	probes  *prober
	options Options
}

// Reconcile looks at one Connector, writes what it finds into the status, and
// says when to look again.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var c v1alpha1.Connector
	err := r.live.Get(ctx, request.NamespacedName, &c)
	if apierrors.IsNotFound(err) {
		r.probes.forget(request.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the Connector: %w", err)
	}
	if !c.DeletionTimestamp.IsZero() {
		// Writing the ConfigMap again would hold a foreground deletion up.
		r.probes.forget(request.NamespacedName)
		return reconcile.Result{}, nil
	}

	e, err := r.evaluate(ctx, &c)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := metav1.Now()
	status := e.status(now)
	if err := r.writeStatus(ctx, &c, status); err != nil {
		return reconcile.Result{}, err
	}
	ready := meta.FindStatusCondition(status.Conditions, string(v1alpha1.ConditionReady))
	isReady := ready.Status == metav1.ConditionTrue
	return reconcile.Result{
		RequeueAfter: r.options.Schedule.Next(isReady, now.Sub(ready.LastTransitionTime.Time)),
	}, nil
}

// evaluate asks all checks.
func (r *reconciler) evaluate(ctx context.Context, c *v1alpha1.Connector) (*evaluation, error) {
	e := &evaluation{connector: c, findings: make(map[v1alpha1.ConditionType]finding)}
	e.address, e.addressError = connector.ParseAddress(c.Spec.Address)
	for _, check := range checks {
		f, err := check.look(r, ctx, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", check.condition, err)
		}
		e.findings[check.condition] = f
	}
	return e, nil
}
