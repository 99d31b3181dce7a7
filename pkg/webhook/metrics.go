package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kube-connector/kube-connector/internal/metrics"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// outcome is what became of a Pod, in words for metrics. There are only these:
// nothing that a Pod says becomes a label.
type outcome struct{ result, reason string }

var (
	injected          = outcome{"injected", "asked"}
	injectedByDefault = outcome{"injected", "namespace_asked"}
	alreadyInjected   = outcome{"skipped", "already_injected"}
	notAsked          = outcome{"skipped", "not_asked"}
	unreadable        = outcome{"refused", "unreadable"}
	invalidRequest    = outcome{"refused", "invalid_request"}
	notFound          = outcome{"refused", "connector_not_found"}
	notServable       = outcome{"refused", "connector_not_servable"}
	lookUpFailed      = outcome{"refused", "lookup_failed"}
	unsuitablePod     = outcome{"refused", "unsuitable_pod"}

	outcomes = []outcome{
		injected, injectedByDefault, alreadyInjected, notAsked,
		skipped(inject.SkipNoDefaults), skipped(inject.SkipUnsuitable), skipped(inject.SkipCopy),
		unreadable, invalidRequest, notFound, notServable, lookUpFailed, unsuitablePod,
	}
)

// skipped is the outcome for a Pod that is left as it is.
func skipped(why inject.Skip) outcome {
	if why == "" {
		return notAsked
	}
	return outcome{"skipped", string(why)}
}

// Metrics count what becomes of Pods.
type Metrics struct {
	injections *prometheus.CounterVec
	duration   prometheus.Histogram
}

// NewMetrics registers the metrics, or finds those registered before.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	injections, err := metrics.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kube_connector_injections_total",
		Help: "Pods that were sent for injection, by what became of them: injected, refused or skipped, and why.",
	}, []string{"result", "reason"}))
	if err != nil {
		return nil, err
	}
	duration, err := metrics.Register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "kube_connector_injection_duration_seconds",
		Help:    "How long the answer about one Pod took, without reading the request from the network.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 15), // 50 µs to 0.8 s
	}))
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		injections.WithLabelValues(o.result, o.reason) // an alert needs the zero before the first one
	}
	return &Metrics{injections: injections, duration: duration}, nil
}

func (m *Metrics) observe(o outcome, took time.Duration) {
	m.injections.WithLabelValues(o.result, o.reason).Inc()
	m.duration.Observe(took.Seconds())
}
