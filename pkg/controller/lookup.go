package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// indexClass finds Connectors by their class.
const indexClass = "class"

func addIndex(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.Connector{}, indexClass, func(object client.Object) []string {
		return []string{object.(*v1alpha1.Connector).Spec.ConnectorClassName}
	})
	if err != nil {
		return fmt.Errorf("indexing Connectors by class: %w", err)
	}
	return nil
}

// lookUp finds the Connectors that a change of something else concerns.
type lookUp struct{ connectors client.Reader }

// concerned are Connectors to look at: those at once that somebody may be waiting
// for, and the rest when there is nothing else to do.
type concerned struct {
	now, later []reconcile.Request
}

// onChange enqueues what a change of something concerns. What is there at the
// start is no change: all Connectors are looked at then anyway.
func onChange(concerns func(context.Context, client.Object) concerned) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, object := range objects {
			found := concerns(ctx, object)
			for _, request := range found.now {
				q.Add(request)
			}
			for _, request := range found.later {
				if prioritized, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
					low := handler.LowPriority
					prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &low}, request)
				} else {
					q.Add(request)
				}
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				enqueue(ctx, q, e.Object)
			}
		},
		// Both sides of an update, so that taking a label away counts too.
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() {
				enqueue(ctx, q, e.ObjectOld, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			enqueue(ctx, q, e.Object)
		},
	}
}

func (l lookUp) ofClass(ctx context.Context, class client.Object) concerned {
	return concerned{now: requestsFor(l.list(ctx, client.MatchingFields{indexClass: class.GetName()}))}
}

// all finds all, as a certificate for every Connector concerns them. Those that fail
// for want of one come first; the others would fill the queue for a minute.
func (l lookUp) all(ctx context.Context) concerned {
	var waiting, others []v1alpha1.Connector
	for _, c := range l.list(ctx) {
		liveness := meta.FindStatusCondition(c.Status.Conditions, string(v1alpha1.ConditionLivenessReady))
		if liveness != nil && liveness.Reason == string(v1alpha1.ReasonCertificateInvalid) {
			waiting = append(waiting, c)
		} else {
			others = append(others, c)
		}
	}
	return concerned{now: requestsFor(waiting), later: requestsFor(others)}
}

// list finds Connectors in the cache. They are shared: nobody may change them.
func (l lookUp) list(ctx context.Context, options ...client.ListOption) []v1alpha1.Connector {
	var connectors v1alpha1.ConnectorList
	if err := l.connectors.List(ctx, &connectors, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		// From the cache this fails on a wrong index only; the next look of each
		// Connector will come all the same.
		log.FromContext(ctx).Error(err, "cannot list the Connectors that a change concerns")
		return nil
	}
	return connectors.Items
}

func requestsFor(connectors []v1alpha1.Connector) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(connectors))
	for i := range connectors {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&connectors[i])})
	}
	return requests
}
