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
	// Connectors are all that the Pod or its namespace names for it, each once, in
	// that order. There are none for a Pod that is to be left as it is.
	Connectors []connector.Reference
	// Asked says that the Pod asks itself, not only its namespace for it.
	Asked bool
	// Skip says why a Pod that its namespace asks for is left as it is.
	Skip Skip
	// Warnings are for whoever creates the Pod.
	Warnings []string

	annotated []connector.Reference // for the kubeconfig of the containers
	source    string                // what names those
	volumes   []volume              // for one kubeconfig each
	place     place
	settings  settings
	inCluster *inCluster // nil if the Pod does not ask for that
}

// ReadRequest reads what a Pod of the given namespace asks for, or the namespace
// for it. Annotations count only where the namespace lets them, csi volumes
// everywhere. A Pod that opted out asks for nothing.
func ReadRequest(pod *corev1.Pod, ns Namespace) (*Request, error) {
	switch inject := pod.Annotations[v1alpha1.AnnotationInject]; inject {
	case "", "true":
	case "false":
		return &Request{}, nil
	default:
		return nil, fmt.Errorf(`annotation %s has the value %q; "true" and "false" are allowed`, v1alpha1.AnnotationInject, abbreviate(inject))
	}
	r := &Request{}
	if !ns.letsPodsAsk() {
		r.ignoreAnnotations(pod, ns.Name)
	}
	if err := r.readVolumes(pod, ns.Name); err != nil {
		return nil, err
	}
	r.Asked = ns.letsPodsAsk() && asksByAnnotation(pod) || r.askedByVolume(pod)
	if ns.Injection == v1alpha1.InjectionAlways && !r.Asked {
		if r.skip(pod, ns); r.Skip != "" {
			return &Request{Skip: r.Skip, Warnings: r.Warnings}, nil
		}
	}
	if ns.letsPodsAsk() {
		if err := r.readNames(pod, ns); err != nil {
			return nil, err
		}
	}
	r.use(r.annotated)
	for i := range r.volumes {
		r.use(r.volumes[i].connectors)
	}
	if len(r.Connectors) == 0 {
		if r.Asked {
			return nil, fmt.Errorf(`annotation %s is "true", but neither the Pod nor namespace %s has the annotation %s; name the Connectors in one of them`,
				v1alpha1.AnnotationInject, ns.Name, v1alpha1.AnnotationConnectors)
		}
		return &Request{}, nil
	}
	if len(r.Connectors) > connector.MaxReferences {
		return nil, fmt.Errorf("annotation %s and the volumes of driver %s name %d Connectors in all; at most %d are allowed",
			v1alpha1.AnnotationConnectors, v1alpha1.CSIDriver, len(r.Connectors), connector.MaxReferences)
	}
	if err := r.readPlace(pod); err != nil {
		return nil, err
	}
	var err error
	if r.settings, err = readSettings(pod.Annotations); err != nil {
		return nil, err
	}
	if err := r.readInCluster(pod); err != nil {
		return nil, err
	}
	return r, nil
}

// Source says what names a Connector, for messages.
func (r *Request) Source(ref connector.Reference) string {
	for i := range r.volumes {
		if slices.Contains(r.volumes[i].connectors, ref) && !slices.Contains(r.annotated, ref) {
			return r.volumes[i].String()
		}
	}
	return r.source
}

func (r *Request) use(refs []connector.Reference) {
	for _, ref := range refs {
		if !slices.Contains(r.Connectors, ref) {
			r.Connectors = append(r.Connectors, ref)
		}
	}
}

func (r *Request) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// readNames reads the annotation of the Pod, or of its namespace in its place.
func (r *Request) readNames(pod *corev1.Pod, ns Namespace) error {
	names, ok := pod.Annotations[v1alpha1.AnnotationConnectors]
	r.source = "annotation " + v1alpha1.AnnotationConnectors
	if !ok {
		if ns.Connectors == "" || !UsesDefaults(pod, ns.Injection) {
			return nil
		}
		names = ns.Connectors
		r.source += " of namespace " + ns.Name
	}
	refs, err := connector.ParseReferences(names, ns.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", r.source, err)
	}
	if err := sameNamespace(refs, ns.Name); err != nil {
		return fmt.Errorf("%s %w", r.source, err)
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
	what := unsupported(pod)
	if what == "" {
		return nil
	}
	return fmt.Errorf("the Pod has %s; remove that, or what asks for a Connector: the annotation %s or %s, the volume of driver %s",
		what, v1alpha1.AnnotationConnectors, v1alpha1.AnnotationInject, v1alpha1.CSIDriver)
}

// unsupported is what supported finds wrong.
func unsupported(pod *corev1.Pod) string {
	spec := &pod.Spec
	switch {
	case spec.HostNetwork:
		return "hostNetwork: every process of the node could use the sidecar's port"
	case spec.HostPID:
		return "hostPID: its containers could read the sidecar's memory"
	case spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace:
		return "shareProcessNamespace: its containers could read the sidecar's memory"
	case spec.OS != nil && spec.OS.Name == corev1.Windows:
		return "os: windows, for which there is no sidecar"
	case spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows):
		return "nodeSelector " + corev1.LabelOSStable + ": windows, for which there is no sidecar"
	}
	return ""
}

// knownAnnotations are those that mean something to this version.
var knownAnnotations = []string{
	v1alpha1.AnnotationConnectors,
	v1alpha1.AnnotationInject,
	v1alpha1.AnnotationContainers,
	v1alpha1.AnnotationMountPath,
	v1alpha1.AnnotationStatus,
	v1alpha1.AnnotationKubeconfigMode,
	v1alpha1.AnnotationInCluster,
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
