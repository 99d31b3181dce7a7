package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// resources are what the sidecar asks for. A Pod in which every container is
// guaranteed its resources keeps its QoS class: there the sidecar's limits equal
// its requests. A CPU limit is set elsewhere only if all the Pod's own containers
// have one, as a quota on CPU limits would want.
func resources(pod *corev1.Pod) corev1.ResourceRequirements {
	cpu, memory := resource.MustParse("10m"), resource.MustParse("16Mi")
	memoryLimit, cpuLimit := resource.MustParse("64Mi"), resource.MustParse("100m")

	guaranteed, cpuLimited := true, true
	for _, c := range ownContainers(pod) {
		guaranteed = guaranteed && isGuaranteed(c)
		cpuLimited = cpuLimited && !c.Resources.Limits.Cpu().IsZero()
	}
	if guaranteed {
		limits := corev1.ResourceList{corev1.ResourceCPU: cpuLimit, corev1.ResourceMemory: memoryLimit}
		return corev1.ResourceRequirements{Requests: limits.DeepCopy(), Limits: limits}
	}
	limits := corev1.ResourceList{corev1.ResourceMemory: memoryLimit}
	if cpuLimited {
		limits[corev1.ResourceCPU] = cpuLimit
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory},
		Limits:   limits,
	}
}

func ownContainers(pod *corev1.Pod) []*corev1.Container {
	var own []*corev1.Container
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
