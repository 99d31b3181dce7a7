package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// The paths at which an Injector is served. The API server tells nothing of a
// Pod's namespace but its name; which of them it calls says how that is labelled.
const (
	// InjectPath is for Pods of namespaces that are labelled to let Pods opt in.
	InjectPath = "/inject"
	// InjectAlwaysPath is for Pods of namespaces that are labelled to have every
	// Pod injected.
	InjectAlwaysPath = "/inject-always"
	// InjectCSIPath is for Pods of all other namespaces: only their csi volumes
	// count.
	InjectCSIPath = "/inject-csi"
)

// Injector admits Pods and injects those that ask for Connectors.
type Injector struct {
	// Cache reads Connectors, their classes and namespaces from the informers' cache.
	Cache client.Reader
	// Live reads from the API server, for what was made a moment ago.
	Live client.Reader
	// Options are what the operator decides.
	Options inject.Options
	// Injection is the label of the namespaces that the Pods are of:
	// v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways or none of them.
	Injection string
	// Metrics count the answers.
	Metrics *Metrics
}

// errNotFound says that a Connector does not exist.
var errNotFound = errors.New("does not exist; create it or correct the name")

func (i *Injector) inject(ctx context.Context, req *request) (admission.Response, outcome) {
	pod := &req.Object
	namespace, err := i.namespace(ctx, pod, req.Namespace)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("looking up namespace %s: %w", req.Namespace, err)), lookUpFailed
	}
	asked, err := inject.ReadRequest(pod, namespace)
	if err != nil {
		return refused(err), invalidRequest
	}
	if len(asked.Connectors) == 0 {
		return admission.Allowed("").WithWarnings(asked.Warnings...), skipped(asked.Skip)
	}
	if n := len(pod.Spec.InitContainers) + len(pod.Spec.Containers); n > maxContainers {
		return refused(fmt.Errorf("the Pod has %d containers; at most %d are allowed in one that uses a Connector", n, maxContainers)), unsuitablePod
	}
	connectors := make([]*v1alpha1.Connector, 0, len(asked.Connectors))
	for _, ref := range asked.Connectors {
		c, err := i.lookUp(ctx, ref)
		switch {
		case errors.Is(err, errNotFound):
			return refused(fmt.Errorf("the Connector %s, which %s names, %w", ref, asked.Source(ref), err)), notFound
		case err != nil:
			return admission.Errored(http.StatusInternalServerError, fmt.Errorf("looking up Connector %s: %w", ref, err)), lookUpFailed
		}
		reason, err := i.notServed(ctx, c)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, fmt.Errorf("looking up the class of Connector %s: %w", ref, err)), lookUpFailed
		}
		if reason != "" {
			return refused(fmt.Errorf("the Connector %s, which %s names, is of class %s: %s",
				ref, asked.Source(ref), c.Spec.ConnectorClassName, reason)), notServable
		}
		connectors = append(connectors, c)
	}
	result, err := inject.Plan(pod, asked, connectors, i.Options)
	if err != nil {
		return refused(err), unsuitablePod
	}
	response := admission.Patched("", result.Patch...)
	response.Warnings = slices.Concat(result.Warnings, notReady(connectors))
	if len(result.Patch) == 0 {
		return response, alreadyInjected
	}
	if !asked.Asked {
		return response, injectedByDefault
	}
	return response, injected
}

// lookUp reads a Connector from the cache, and once more from the API server if
// it is not there: Connector and Pod are often applied in one go.
func (i *Injector) lookUp(ctx context.Context, ref connector.Reference) (*v1alpha1.Connector, error) {
	key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	var c v1alpha1.Connector
	err := i.Cache.Get(ctx, key, &c)
	if apierrors.IsNotFound(err) {
		err = i.Live.Get(ctx, key, &c)
	}
	if apierrors.IsNotFound(err) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// refused denies the Pod. Controllers show the message in an event of the
// Pod's owner and try again.
func refused(err error) admission.Response {
	return admission.Denied(v1alpha1.GroupName + ": " + err.Error())
}

// notReady warns of Connectors that do not work yet. The Pod is admitted: the
// sidecar picks the token up once it is there, and says what is missing until
// then.
func notReady(connectors []*v1alpha1.Connector) []string {
	var warnings []string
	for _, c := range connectors {
		ready := meta.FindStatusCondition(c.Status.Conditions, string(v1alpha1.ConditionReady))
		switch {
		case ready == nil:
			warnings = append(warnings, fmt.Sprintf("Connector %s/%s has not been checked yet; if that does not pass in a moment, see whether the controller runs", c.Namespace, c.Name))
		case ready.Status != metav1.ConditionTrue:
			warnings = append(warnings, fmt.Sprintf("Connector %s/%s is not ready: %s: %s", c.Namespace, c.Name, ready.Reason, ready.Message))
		}
	}
	return warnings
}
