package inject

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// metricsPortName is what a PodMonitor selects. It is nobody else's, so that one
// which is for the app's own metrics does not find the sidecar's.
const metricsPortName = "http-connectors"

// portsTaken from the proxy port on: that, the one of the localhost mode, and the
// one for in-cluster clients, whether the Pod asks for it or not.
const portsTaken = 3

// ParseMetricsPort reads a value for Options.MetricsPort. Empty is none, as 0 is.
func ParseMetricsPort(s string) (int, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	port, err := strconv.Atoi(s)
	if err != nil || port < leastPort || port > 65535 || port >= proxyPort && port < proxyPort+portsTaken {
		return 0, fmt.Errorf("allowed are 0 for none, and ports from %d to 65535 but for %d to %d, which the sidecar takes itself",
			leastPort, proxyPort, proxyPort+portsTaken-1)
	}
	return port, nil
}

// metricsPorts are the ports of the sidecar that others may come to.
func metricsPorts(opts Options) []corev1.ContainerPort {
	if opts.MetricsPort == 0 {
		return nil
	}
	return []corev1.ContainerPort{{Name: metricsPortName, ContainerPort: int32(opts.MetricsPort), Protocol: corev1.ProtocolTCP}}
}

// metricsPortFree refuses a Pod in which somebody else has the port: whoever comes
// second could not start.
func metricsPortFree(pod *corev1.Pod, s *settings, opts Options) error {
	if opts.MetricsPort == 0 {
		return nil
	}
	const metrics = "which is for the metrics of all sidecars of this cluster (the webhook's --sidecar-metrics-port)"
	if s.port != 0 && opts.MetricsPort >= s.port && opts.MetricsPort < s.port+portsTaken {
		return fmt.Errorf("annotation %s has the value %d; that and the next %d ports are taken, and %d is among them, %s; choose another",
			v1alpha1.AnnotationProxyPort, s.port, portsTaken-1, opts.MetricsPort, metrics)
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			if c.Name != SidecarName && int(p.ContainerPort) == opts.MetricsPort && (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) {
				return fmt.Errorf("container %q has port %d, %s; give it another, or ask the operator to", c.Name, opts.MetricsPort, metrics)
			}
		}
	}
	return nil
}
