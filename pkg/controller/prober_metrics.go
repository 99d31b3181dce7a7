package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kube-connector/kube-connector/internal/metrics"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// Kinds of probes, as metrics name them.
const (
	livenessProbe = "liveness"
	authProbe     = "auth"
)

// probeMetrics count probes. Nothing that a Connector or a target says becomes a
// label.
type probeMetrics struct {
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

// newProbeMetrics registers the metrics, or finds those registered before.
func newProbeMetrics(registry prometheus.Registerer) (*probeMetrics, error) {
	duration, err := metrics.Register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "kube_connector_probe_duration_seconds",
		Help:    "How long one request of a probe took, by the kind of probe, without the wait for its turn.",
		Buckets: prometheus.ExponentialBuckets(1e-3, 2, 14), // 1 ms to 8 s
	}, []string{"probe"}))
	if err != nil {
		return nil, err
	}
	failures, err := metrics.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kube_connector_probe_failures_total",
		Help: "Requests of probes that failed, by the kind of probe and why.",
	}, []string{"probe", "reason"}))
	if err != nil {
		return nil, err
	}
	m := &probeMetrics{duration, failures}
	for _, name := range []string{livenessProbe, authProbe} {
		m.duration.WithLabelValues(name)
		for _, kind := range append([]probe.Kind{0}, probe.Kinds...) {
			m.failures.WithLabelValues(name, kind.String()) // an alert needs the zero before the first one
		}
	}
	return m, nil
}

func (m *probeMetrics) observe(name string, took time.Duration, err error) {
	m.duration.WithLabelValues(name).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(name, kindOf(err).String()).Inc()
	}
}
