package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
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

// InjectPath is the path at which the Injector is served.
const InjectPath = "/inject"

// Injector admits Pods and injects those that ask for Connectors.
type Injector struct {
	// Cache reads Connectors from the informer's cache.
	Cache client.Reader
	// Live reads from the API server, for a Connector made a moment ago.
	Live client.Reader
	// Decoder decodes the Pod.
	Decoder admission.Decoder
	// Options are what the operator decides.
	Options inject.Options
}

// errNotFound says that a Connector does not exist.
var errNotFound = errors.New("does not exist; create it or correct the name in the annotation")

// Handle answers one admission request.
func (i *Injector) Handle(ctx context.Context, req admission.Request) admission.Response {
	var pod corev1.Pod
	if err := i.Decoder.Decode(req, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("reading the Pod: %w", err))
	}
	refs, err := inject.References(&pod, req.Namespace)
	if err != nil {
		return refused(err)
	}
	if len(refs) == 0 {
		return admission.Allowed("the Pod asks for no Connector")
	}
	connectors := make([]*v1alpha1.Connector, 0, len(refs))
	for _, ref := range refs {
		c, err := i.lookUp(ctx, ref)
		switch {
		case errors.Is(err, errNotFound):
			return refused(fmt.Errorf("the Connector %s, which annotation %s names, %w", ref, v1alpha1.AnnotationConnectors, err))
		case err != nil:
			return admission.Errored(http.StatusInternalServerError, fmt.Errorf("looking up Connector %s: %w", ref, err))
		}
		connectors = append(connectors, c)
	}
	result, err := inject.Plan(&pod, connectors, i.Options)
	if err != nil {
		return refused(err)
	}
	response := admission.Patched("", result.Patch...)
	response.Warnings = slices.Concat(result.Warnings, notReady(connectors))
	return response
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
			warnings = append(warnings, fmt.Sprintf("Connector %s/%s has not been checked yet", c.Namespace, c.Name))
		case ready.Status != metav1.ConditionTrue:
			warnings = append(warnings, fmt.Sprintf("Connector %s/%s is not ready: %s: %s", c.Namespace, c.Name, ready.Reason, ready.Message))
		}
	}
	return warnings
}
