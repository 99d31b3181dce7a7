package inject

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// settings are what a Pod may say about its sidecar.
type settings struct {
	args                               []string
	inClusterPort                      int // 0 for none
	port                               int // the proxy port, 0 for the default
	cpu, cpuLimit, memory, memoryLimit *resource.Quantity
}

// What a Pod may ask for. Below the least memory the sidecar does not run; what
// is above the most is a slip of the pen.
var (
	leastCPU, mostCPU       = resource.MustParse("1m"), resource.MustParse("16")
	leastMemory, mostMemory = resource.MustParse("16Mi"), resource.MustParse("8Gi")
)

const (
	// leastPort: the sidecar has no right to ports below it.
	leastPort = 1024
	// proxyPort is the default of the sidecar's flag. Its other ports are those
	// above it: one for the localhost mode, and one for in-cluster clients.
	proxyPort = 17443
)

func readSettings(annotations map[string]string) (settings, error) {
	var s settings
	if err := s.readArgs(annotations); err != nil {
		return settings{}, err
	}
	for _, q := range []struct {
		key         string
		least, most *resource.Quantity
		value       **resource.Quantity
	}{
		{v1alpha1.AnnotationProxyCPU, &leastCPU, &mostCPU, &s.cpu},
		{v1alpha1.AnnotationProxyCPULimit, &leastCPU, &mostCPU, &s.cpuLimit},
		{v1alpha1.AnnotationProxyMemory, &leastMemory, &mostMemory, &s.memory},
		{v1alpha1.AnnotationProxyMemoryLimit, &leastMemory, &mostMemory, &s.memoryLimit},
	} {
		text, ok := annotations[q.key]
		if !ok {
			continue
		}
		value, err := readQuantity(text, q.least, q.most)
		if err != nil {
			return settings{}, fmt.Errorf("annotation %s has the value %q; %w", q.key, abbreviate(text), err)
		}
		*q.value = value
	}
	if err := ordered(v1alpha1.AnnotationProxyCPU, s.cpu, v1alpha1.AnnotationProxyCPULimit, s.cpuLimit); err != nil {
		return settings{}, err
	}
	return s, ordered(v1alpha1.AnnotationProxyMemory, s.memory, v1alpha1.AnnotationProxyMemoryLimit, s.memoryLimit)
}

// readArgs reads what becomes flags of the sidecar.
func (s *settings) readArgs(annotations map[string]string) error {
	for _, word := range []struct {
		key, flag string
		allowed   []string
	}{
		{v1alpha1.AnnotationKubeconfigMode, "--kubeconfig-mode", []string{"proxy", "localhost"}},
		{v1alpha1.AnnotationLogLevel, "--log-level", []string{"debug", "info", "warn", "error"}},
	} {
		value, err := readWord(annotations, word.key, word.allowed...)
		if err != nil {
			return err
		}
		if value != "" {
			s.args = append(s.args, word.flag+"="+value)
		}
	}
	return s.readPorts(annotations)
}

// readWord reads one of the words that are allowed, or "" if there is none.
func readWord(annotations map[string]string, key string, allowed ...string) (string, error) {
	value, ok := annotations[key]
	if ok && !slices.Contains(allowed, value) {
		return "", fmt.Errorf("annotation %s has the value %q; allowed are %s", key, abbreviate(value), strings.Join(allowed, ", "))
	}
	return value, nil
}

func (s *settings) readPorts(annotations map[string]string) error {
	inCluster, err := readWord(annotations, v1alpha1.AnnotationInCluster, "true", "false")
	if err != nil {
		return err
	}
	port, mostPort, others := proxyPort, 65534, "the one above it is taken too"
	if inCluster == "true" {
		mostPort, others = 65533, "the two above it are taken too"
	}
	if value, ok := annotations[v1alpha1.AnnotationProxyPort]; ok {
		if port, err = strconv.Atoi(value); err != nil || port < leastPort || port > mostPort {
			return fmt.Errorf("annotation %s has the value %q; allowed are ports from %d to %d; %s",
				v1alpha1.AnnotationProxyPort, abbreviate(value), leastPort, mostPort, others)
		}
		s.port = port
		s.args = append(s.args, fmt.Sprintf("--proxy-port=%d", port), fmt.Sprintf("--localhost-port=%d", port+1))
	}
	if inCluster == "true" {
		s.inClusterPort = port + 2
		s.args = append(s.args, fmt.Sprintf("--in-cluster-port=%d", s.inClusterPort))
	}
	return nil
}

// quantity is the plain part of what Kubernetes allows: exponents are of no use
// here, and large ones are costly to read.
var quantity = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,3})?(m|[kMGT]|[KMGT]i)?$`)

func readQuantity(s string, least, most *resource.Quantity) (*resource.Quantity, error) {
	allowed := fmt.Errorf("allowed are quantities from %s to %s", least, most)
	if !quantity.MatchString(s) {
		return nil, allowed
	}
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Cmp(*least) < 0 || q.Cmp(*most) > 0 {
		return nil, allowed
	}
	return &q, nil
}

// ParseCPULimit reads a value for Options.CPULimit. Empty is none.
func ParseCPULimit(s string) (resource.Quantity, error) {
	if s == "" {
		return resource.Quantity{}, nil
	}
	q, err := readQuantity(s, &leastCPU, &mostCPU)
	if err != nil {
		return resource.Quantity{}, err
	}
	return *q, nil
}

func ordered(requestKey string, request *resource.Quantity, limitKey string, limit *resource.Quantity) error {
	if request != nil && limit != nil && limit.Cmp(*request) < 0 {
		return fmt.Errorf("annotation %s is %s, below %s, which is %s; a limit must be at least the request", limitKey, limit, requestKey, request)
	}
	return nil
}

// abbreviate keeps messages short.
func abbreviate(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
