package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// References reads which Connectors a Pod of the given namespace asks for, in
// the order in which it names them; the first is the kubeconfig's current
// context. A Pod that does not ask, or that opted out, gets none. The namespace
// comes from the admission request: a Pod made by a controller carries none.
func References(pod *corev1.Pod, namespace string) ([]connector.Reference, error) {
	asked, names := pod.Annotations[v1alpha1.AnnotationConnectors]
	switch inject := pod.Annotations[v1alpha1.AnnotationInject]; inject {
	case "false":
		return nil, nil
	case "", "true":
		if inject == "true" && !names {
			return nil, fmt.Errorf(`annotation %s is "true" but %s is missing; name the Connectors in it`,
				v1alpha1.AnnotationInject, v1alpha1.AnnotationConnectors)
		}
	default:
		return nil, fmt.Errorf(`annotation %s has the value %q; "true" and "false" are allowed`, v1alpha1.AnnotationInject, inject)
	}
	if !names {
		return nil, nil
	}
	refs, err := connector.ParseReferences(asked, namespace)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", v1alpha1.AnnotationConnectors, err)
	}
	for _, ref := range refs {
		if ref.Namespace != namespace {
			return nil, fmt.Errorf("annotation %s names Connector %s: a Pod of namespace %s cannot use a Connector of another namespace, because the token would have to leave it; create a Connector in %s",
				v1alpha1.AnnotationConnectors, ref, namespace, namespace)
		}
	}
	return refs, nil
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
	return fmt.Errorf("the Pod has %s; remove that or the annotation %s", what, v1alpha1.AnnotationConnectors)
}

// unknownKeys warns about annotations under our prefix that mean nothing, which
// are most often misspelt.
func unknownKeys(pod *corev1.Pod) []string {
	known := []string{v1alpha1.AnnotationConnectors, v1alpha1.AnnotationInject, v1alpha1.AnnotationStatus}
	var warnings []string
	for key := range pod.Annotations {
		if strings.HasPrefix(key, v1alpha1.KeyPrefix) && !slices.Contains(known, key) {
			warnings = append(warnings, fmt.Sprintf("annotation %s is not known to this version and was ignored", key))
		}
	}
	slices.Sort(warnings)
	return warnings
}
