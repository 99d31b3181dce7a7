package inject

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// The sidecar's resources where nobody says otherwise.
var (
	defaultCPU, defaultCPULimit       = resource.MustParse("10m"), resource.MustParse("100m")
	defaultMemory, defaultMemoryLimit = resource.MustParse("16Mi"), resource.MustParse("64Mi")
)

// resources are what the sidecar asks for. A Pod in which every container is
// guaranteed its resources keeps its QoS class: there the sidecar's limits equal
// its requests. A CPU limit is set elsewhere only if the Pod or the operator says
// so, or if all the Pod's own containers have one, as a quota on CPU limits would
// want.
func resources(pod *corev1.Pod, s *settings, opts Options) (corev1.ResourceRequirements, error) {
	for i := range pod.Spec.InitContainers {
		// It has them from an earlier admission. The containers beside it, which
		// they depend on, may have been changed since.
		if c := &pod.Spec.InitContainers[i]; c.Name == SidecarName {
			return c.Resources, nil
		}
	}
	if r := pod.Spec.Resources; r != nil && len(r.Requests)+len(r.Limits) > 0 {
		// The Pod as a whole has a budget and its QoS class from it. Requests of
		// the sidecar could exceed what the containers leave of it.
		return given(s), fits(pod, s)
	}
	guaranteed, cpuLimited := true, true
	for _, c := range ownContainers(pod) {
		guaranteed = guaranteed && isGuaranteed(c)
		cpuLimited = cpuLimited && !c.Resources.Limits.Cpu().IsZero()
	}
	cpuLimit := defaultCPULimit
	if !opts.CPULimit.IsZero() {
		cpuLimit, cpuLimited = opts.CPULimit, true
	}
	if guaranteed {
		cpu, err := equal(v1alpha1.AnnotationProxyCPU, s.cpu, v1alpha1.AnnotationProxyCPULimit, s.cpuLimit, cpuLimit)
		if err != nil {
			return corev1.ResourceRequirements{}, err
		}
		memory, err := equal(v1alpha1.AnnotationProxyMemory, s.memory, v1alpha1.AnnotationProxyMemoryLimit, s.memoryLimit, defaultMemoryLimit)
		if err != nil {
			return corev1.ResourceRequirements{}, err
		}
		both := corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory}
		return corev1.ResourceRequirements{Requests: both.DeepCopy(), Limits: both}, nil
	}
	cpu, cpuLimit := fit(s.cpu, s.cpuLimit, defaultCPU, cpuLimit)
	memory, memoryLimit := fit(s.memory, s.memoryLimit, defaultMemory, defaultMemoryLimit)
	r := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: memoryLimit},
	}
	if cpuLimited || s.cpuLimit != nil {
		r.Limits[corev1.ResourceCPU] = cpuLimit
	}
	return r, nil
}

// fit puts defaults where the Pod says nothing, moved so that the limit is not
// below the request.
func fit(request, limit *resource.Quantity, defaultRequest, defaultLimit resource.Quantity) (r, l resource.Quantity) {
	switch {
	case request != nil && limit != nil:
		return *request, *limit
	case request != nil:
		return *request, larger(*request, defaultLimit)
	case limit != nil:
		return smaller(*limit, defaultRequest), *limit
	default:
		return smaller(defaultLimit, defaultRequest), defaultLimit
	}
}

// equal is one quantity for request and limit.
func equal(requestKey string, request *resource.Quantity, limitKey string, limit *resource.Quantity, byDefault resource.Quantity) (resource.Quantity, error) {
	switch {
	case request != nil && limit != nil && request.Cmp(*limit) != 0:
		return resource.Quantity{}, fmt.Errorf("annotations %s and %s are %s and %s, which would take the Pod's QoS class Guaranteed away; set one of them only, or both to the same",
			requestKey, limitKey, request, limit)
	case limit != nil:
		return *limit, nil
	case request != nil:
		return *request, nil
	default:
		return byDefault, nil
	}
}

// given are the resources that the Pod itself says.
func given(s *settings) corev1.ResourceRequirements {
	list := func(cpu, memory *resource.Quantity) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != nil {
			l[corev1.ResourceCPU] = *cpu
		}
		if memory != nil {
			l[corev1.ResourceMemory] = *memory
		}
		return l
	}
	return corev1.ResourceRequirements{Requests: list(s.cpu, s.memory), Limits: list(s.cpuLimit, s.memoryLimit)}
}

// fits refuses requests of the sidecar for which the containers leave no room in
// those of the whole Pod. The API server would do so too, and not say which
// annotation it is.
func fits(pod *corev1.Pod, s *settings) error {
	for _, asked := range []struct {
		name       corev1.ResourceName
		requestKey string
		request    *resource.Quantity
		limitKey   string
		limit      *resource.Quantity
	}{
		{corev1.ResourceCPU, v1alpha1.AnnotationProxyCPU, s.cpu, v1alpha1.AnnotationProxyCPULimit, s.cpuLimit},
		{corev1.ResourceMemory, v1alpha1.AnnotationProxyMemory, s.memory, v1alpha1.AnnotationProxyMemoryLimit, s.memoryLimit},
	} {
		key, quantity := asked.requestKey, asked.request
		if quantity == nil {
			key, quantity = asked.limitKey, asked.limit // which is the request, too, if there is none
		}
		whole, said := pod.Spec.Resources.Requests[asked.name]
		if quantity == nil || !said {
			continue
		}
		left := whole.DeepCopy()
		left.Sub(requested(pod, asked.name))
		if quantity.Cmp(left) > 0 {
			return fmt.Errorf("annotation %s has the value %q, but the containers leave %s of the Pod's resources.requests.%s, which is %s; request no more, or let the Pod have more",
				key, quantity, &left, asked.name, &whole)
		}
	}
	return nil
}

// requested is what the Pod's own containers request together: native sidecars
// beside all that comes after them, other init containers one after the other.
func requested(pod *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	var natives, most resource.Quantity
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		request := c.Resources.Requests[name].DeepCopy()
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			natives.Add(request)
			continue
		}
		request.Add(natives)
		most = larger(most, request)
	}
	for i := range pod.Spec.Containers {
		natives.Add(pod.Spec.Containers[i].Resources.Requests[name])
	}
	return larger(most, natives)
}

// goMemoryLimit is below the memory limit, so that the collector works harder
// before the kernel kills.
func goMemoryLimit(r *corev1.ResourceRequirements) string {
	limit, ok := r.Limits[corev1.ResourceMemory]
	if !ok {
		limit = larger(defaultMemoryLimit, r.Requests[corev1.ResourceMemory])
	}
	const mebi = 1 << 20
	return fmt.Sprintf("%dMiB", limit.Value()*3/4/mebi)
}

// goMaxProcs is on how many processors the sidecar computes at a time: one, unless
// it is given more by its limit. A request that is handed over between processors
// costs more, and on a large node Go would take them all.
func goMaxProcs(r *corev1.ResourceRequirements) string {
	limit := r.Limits[corev1.ResourceCPU]
	return strconv.FormatInt(max(1, limit.Value()), 10) // Value rounds up
}

func larger(a, b resource.Quantity) resource.Quantity {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

func smaller(a, b resource.Quantity) resource.Quantity {
	if a.Cmp(b) > 0 {
		return b
	}
	return a
}

func ownContainers(pod *corev1.Pod) []*corev1.Container {
	own := make([]*corev1.Container, 0, len(pod.Spec.InitContainers)+len(pod.Spec.Containers))
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name != SidecarName {
			own = append(own, &pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		own = append(own, &pod.Spec.Containers[i])
	}
	return own
}

// isGuaranteed is the kubelet's rule for one container: limits for CPU and
// memory, and requests, where given, equal to them.
func isGuaranteed(c *corev1.Container) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit := c.Resources.Limits[name]
		if limit.IsZero() {
			return false
		}
		if request, ok := c.Resources.Requests[name]; ok && request.Cmp(limit) != 0 {
			return false
		}
	}
	return true
}
