package setup

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kube-connector/kube-connector/internal/version"
)

// BuildInfo says in the metrics which build of a program this is.
func BuildInfo(program string) error {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kube_connector_build_info",
		Help: "Always 1; the labels say which program this is, and what it was built as and with.",
	}, []string{"program", "version", "go_version"})
	info.WithLabelValues(program, version.String(), runtime.Version()).Set(1)
	err := metrics.Registry.Register(info)
	if registered := (prometheus.AlreadyRegisteredError{}); errors.As(err, &registered) {
		return nil // the registry is the process's
	}
	if err != nil {
		return fmt.Errorf("adding the build information to the metrics: %w", err)
	}
	return nil
}
