package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Request is what a Pod asks for. ReadRequest makes it.
type Request struct {
	// Connectors are all that the Pod names, each once, in the order in which it
	// names them. There are none in a Pod that does not ask.
	Connectors []connector.Reference

	annotated []connector.Reference // for the kubeconfig that all containers get
	volumes   []volume              // for one kubeconfig each
	settings  settings
	warnings  []string
}

// ReadRequest reads what a Pod of the given namespace asks for. The annotation
// counts only where the namespace is enabled, csi volumes everywhere. A Pod that
// opted out asks for nothing. The namespace comes from the admission request: a
// Pod made by a controller carries none.
func ReadRequest(pod *corev1.Pod, namespace string, enabled bool) (*Request, error) {
	switch inject := pod.Annotations[v1alpha1.AnnotationInject]; inject {
	case "", "true":
	case "false":
		return &Request{}, nil
	default:
		return nil, fmt.Errorf(`annotation %s has the value %q; "true" and "false" are allowed`, v1alpha1.AnnotationInject, inject)
	}
	r := &Request{}
	if enabled {
		if err := r.readAnnotation(pod, namespace); err != nil {
			return nil, err
		}
	} else {
		r.ignoreAnnotations(pod, namespace)
	}
	if err := r.readVolumes(pod, namespace); err != nil {
		return nil, err
	}
	r.use(r.annotated)
	for i := range r.volumes {
		r.use(r.volumes[i].connectors)
	}
	if len(r.Connectors) == 0 {
		if enabled && pod.Annotations[v1alpha1.AnnotationInject] == "true" {
			return nil, fmt.Errorf(`annotation %s is "true" but %s is missing; name the Connectors in it`,
				v1alpha1.AnnotationInject, v1alpha1.AnnotationConnectors)
		}
		return &Request{}, nil
	}
	if len(r.Connectors) > connector.MaxReferences {
		return nil, fmt.Errorf("the Pod names %d Connectors in all; at most %d are allowed", len(r.Connectors), connector.MaxReferences)
	}
	var err error
	r.settings, err = readSettings(pod.Annotations)
	return r, err
}

// Source says where the Pod names a Connector, for messages.
func (r *Request) Source(ref connector.Reference) string {
	for i := range r.volumes {
		if slices.Contains(r.volumes[i].connectors, ref) && !slices.Contains(r.annotated, ref) {
			return r.volumes[i].String()
		}
	}
	return "annotation " + v1alpha1.AnnotationConnectors
}

func (r *Request) use(refs []connector.Reference) {
	for _, ref := range refs {
		if !slices.Contains(r.Connectors, ref) {
			r.Connectors = append(r.Connectors, ref)
		}
	}
}

func (r *Request) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *Request) readAnnotation(pod *corev1.Pod, namespace string) error {
	names, ok := pod.Annotations[v1alpha1.AnnotationConnectors]
	if !ok {
		return nil
	}
	refs, err := connector.ParseReferences(names, namespace)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", v1alpha1.AnnotationConnectors, err)
	}
	if err := sameNamespace(refs, namespace); err != nil {
		return fmt.Errorf("annotation %s %w", v1alpha1.AnnotationConnectors, err)
	}
	r.annotated = refs
	return nil
}

// ignoreAnnotations says that the namespace has not been enabled for what the
// annotations ask.
func (r *Request) ignoreAnnotations(pod *corev1.Pod, namespace string) {
	for _, key := range []string{v1alpha1.AnnotationConnectors, v1alpha1.AnnotationInject} {
		if _, ok := pod.Annotations[key]; ok {
			r.warn("annotation %s was ignored, because namespace %s does not have the label %s: %s",
				key, namespace, v1alpha1.LabelInjection, v1alpha1.InjectionEnabled)
		}
	}
}

func sameNamespace(refs []connector.Reference, namespace string) error {
	for _, ref := range refs {
		if ref.Namespace != namespace {
			return fmt.Errorf("names Connector %s: a Pod of namespace %s cannot use a Connector of another namespace, because the token would have to leave it; create a Connector in %s",
				ref, namespace, namespace)
		}
	}
	return nil
}

// supported refuses Pods in which the token would not be safe, or the sidecar
// would not work.
func supported(pod *corev1.Pod) error {
	spec := &pod.Spec
	var what string
	switch {
	case spec.HostNetwork:
		what = "hostNetwork: every process of the node could use the sidecar's port"
	case spec.HostPID:
		what = "hostPID: its containers could read the sidecar's memory"
	case spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace:
		what = "shareProcessNamespace: its containers could read the sidecar's memory"
	case spec.OS != nil && spec.OS.Name == corev1.Windows:
		what = "os: windows, for which there is no sidecar"
	default:
		return nil
	}
	return fmt.Errorf("the Pod has %s; remove that, or what asks for a Connector: the annotation %s, the volume of driver %s",
		what, v1alpha1.AnnotationConnectors, v1alpha1.CSIDriver)
}

// knownAnnotations are those that mean something to this version.
var knownAnnotations = []string{
	v1alpha1.AnnotationConnectors,
	v1alpha1.AnnotationInject,
	v1alpha1.AnnotationStatus,
	v1alpha1.AnnotationKubeconfigMode,
	v1alpha1.AnnotationProxyPort,
	v1alpha1.AnnotationProxyCPU,
	v1alpha1.AnnotationProxyCPULimit,
	v1alpha1.AnnotationProxyMemory,
	v1alpha1.AnnotationProxyMemoryLimit,
	v1alpha1.AnnotationLogLevel,
}

// unknownKeys warns about annotations under our prefix that mean nothing, which
// are most often misspelt.
func unknownKeys(pod *corev1.Pod) []string {
	var warnings []string
	for key := range pod.Annotations {
		if strings.HasPrefix(key, v1alpha1.KeyPrefix) && !slices.Contains(knownAnnotations, key) {
			warnings = append(warnings, fmt.Sprintf("annotation %s is not known to this version and was ignored", key))
		}
	}
	slices.Sort(warnings)
	return warnings
}
