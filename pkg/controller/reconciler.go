package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// catchUp is how long to wait for a cache that is behind the API server. It mostly
// is for some milliseconds.
const catchUp = 50 * time.Millisecond

// reconciler looks at Connectors.
type reconciler struct {
	// client reads from the cache, live from the API server.
	client client.Client
	live   client.Reader
	events *recorder
	probes *prober
	memory memory

	classes *classStore

	connections connections
	authorities *authorityPool
	authSecrets *secretStore[authSecret]
	caSecrets   *secretStore[caSecret]
	globalCAs   *globalCAs
	options     Options
}

// newReconciler needs a cache besides the client, which would read metadata of
// Secrets past it.
func newReconciler(cached, live client.Reader, writer client.Client, look func(types.NamespacedName), options Options) *reconciler {
	pool := &authorityPool{}
	return &reconciler{
		client:      writer,
		live:        live,
		connections: connections{look: look},
		authorities: pool,
		authSecrets: newSecretStore(live, look, pool.keepAuth),
		caSecrets:   newSecretStore(live, look, pool.keepCA),
		globalCAs:   &globalCAs{metadata: cached, live: live, pool: pool, systemNamespace: options.SystemNamespace},
		options:     options,
	}
}

// Reconcile looks at one Connector, writes what it finds into the status, and
// says when to look again.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	key := request.NamespacedName
	var c v1alpha1.Connector // as it is in the cache: nobody may change it
	err := r.client.Get(ctx, key, &c, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) || err == nil && !c.DeletionTimestamp.IsZero() {
		// Writing the ConfigMap of one that is being deleted would hold a foreground
		// deletion up.
		r.forget(key)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the Connector: %w", err)
	}
	if r.memory.isBehind(key, c.ResourceVersion) {
		return reconcile.Result{RequeueAfter: catchUp}, nil
	}

	e, err := r.evaluate(ctx, &c)
	if err != nil {
		return afterConflict(err)
	}
	status := e.status()
	written, err := r.writeStatus(ctx, &c, status)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil // just deleted; that is a change of its own
	}
	if err != nil {
		return afterConflict(err)
	}
	if written {
		r.tellChanges(ctx, &c, &status)
	}
	if e.token != "" && r.memory.rotated(key, c.UID, e.token) {
		r.events.tell(ctx, &c, corev1.EventTypeNormal, eventCredentialRotated, actionCheck,
			"there is a new token; running Pods use it once the kubelet has brought it to them")
	}
	return reconcile.Result{RequeueAfter: r.next(e, &status)}, nil
}

// afterConflict waits for the cache to have what is newer, and gives other errors
// to the queue, which logs them and tries again later and later.
func afterConflict(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: catchUp}, nil
	}
	return reconcile.Result{}, err
}

// next is how long to wait until the next look.
func (r *reconciler) next(e *evaluation, status *v1alpha1.ConnectorStatus) time.Duration {
	ready := meta.FindStatusCondition(status.Conditions, string(v1alpha1.ConditionReady))
	next := r.options.Schedule.Next(ready.Status == metav1.ConditionTrue, e.now.Sub(ready.LastTransitionTime.Time))
	if expiry := untilExpiryChanges(e.lifetime, e.now); expiry > 0 {
		next = min(next, expiry)
	}
	return next
}

// forget drops all that is known of a Connector that is no more.
func (r *reconciler) forget(key types.NamespacedName) {
	r.probes.forget(key)
	r.memory.forget(key)
	r.authSecrets.forget(key)
	r.caSecrets.forget(key)
}

// evaluate asks all checks.
func (r *reconciler) evaluate(ctx context.Context, c *v1alpha1.Connector) (*evaluation, error) {
	// Whole seconds, as the API server stores them, or what is written would never
	// be what should be.
	now := metav1.Now().Rfc3339Copy().Time
	e := &evaluation{connector: c, now: now, findings: make(map[v1alpha1.ConditionType]finding)}
	e.address, e.addressError = connector.ParseAddress(c.Spec.Address)
	for _, check := range checks {
		f, err := check.look(r, ctx, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", check.condition, err)
		}
		e.findings[check.condition] = f
	}
	r.memory.change(client.ObjectKeyFromObject(c), func(remembered *remembered) { remembered.ca = e.ca })
	return e, nil
}
