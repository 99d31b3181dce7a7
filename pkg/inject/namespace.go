package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Namespace is what counts of a Pod's namespace.
type Namespace struct {
	// Name comes from the admission request, which says where the Pod will be.
	Name string
	// Injection is the value of the label: v1alpha1.InjectionEnabled,
	// v1alpha1.InjectionAlways, or something else, which lets only csi volumes ask.
	Injection string
	// Connectors is the value of the annotation: the default Connectors.
	Connectors string
}

func (ns Namespace) letsPodsAsk() bool {
	return ns.Injection == v1alpha1.InjectionEnabled || ns.Injection == v1alpha1.InjectionAlways
}

// UsesDefaults reports whether a Pod gets the default Connectors of a namespace
// with this value of the label. Of others, Namespace.Connectors does not matter.
func UsesDefaults(pod *corev1.Pod, injection string) bool {
	if _, own := pod.Annotations[v1alpha1.AnnotationConnectors]; own {
		return false
	}
	switch pod.Annotations[v1alpha1.AnnotationInject] {
	case "":
		return injection == v1alpha1.InjectionAlways
	case "true":
		return Namespace{Injection: injection}.letsPodsAsk()
	}
	return false
}

// asksByAnnotation reports whether the Pod itself does.
func asksByAnnotation(pod *corev1.Pod) bool {
	_, named := pod.Annotations[v1alpha1.AnnotationConnectors]
	return named || pod.Annotations[v1alpha1.AnnotationInject] == "true"
}

// askedByVolume reports whether a csi volume asks or did so in an earlier call of
// the same admission. Those of a copy of an injected Pod ask no more.
func (r *Request) askedByVolume(pod *corev1.Pod) bool {
	_, injected := pod.Annotations[v1alpha1.AnnotationStatus]
	return slices.ContainsFunc(r.volumes, func(v volume) bool { return v.csi || injected })
}

// Skip is why a Pod that did not ask is left as it is where every Pod is to be
// injected.
type Skip string

const (
	// SkipNoDefaults says that the namespace names no Connectors.
	SkipNoDefaults Skip = "no_defaults"
	// SkipUnsuitable says that such a Pod would be refused if it asked. DaemonSets
	// that need the node's network must run all the same.
	SkipUnsuitable Skip = "unsuitable_pod"
	// SkipCopy says that the Pod is a copy of an injected one, as kubectl debug
	// makes them, without its annotations.
	SkipCopy Skip = "copy"
)

// skip says whether a Pod that did not ask is left as it is, and warns of it.
func (r *Request) skip(pod *corev1.Pod, ns Namespace) {
	has := slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == SidecarName })
	_, injected := pod.Annotations[v1alpha1.AnnotationStatus]
	switch what := unsupported(pod); {
	case has && !injected:
		r.Skip = SkipCopy
	case what != "" && !has:
		r.Skip = SkipUnsuitable
		r.warn("not injected, because the Pod has %s; if that is as it should be, set the annotation %s: \"false\" on it",
			what, v1alpha1.AnnotationInject)
	case ns.Connectors == "":
		r.Skip = SkipNoDefaults
		r.warn("not injected: neither the Pod nor namespace %s, which has the label %s: %s, has the annotation %s; name the Connectors in one of them",
			ns.Name, v1alpha1.LabelInjection, v1alpha1.InjectionAlways, v1alpha1.AnnotationConnectors)
	}
}
