package controller

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// maxReasons bounds the series of connectors by reason. There are fewer reasons
	// than that, but a status can be written by others too.
	maxReasons = 50
	// scrapePatience is how long a scrape waits for caches that are not synced yet.
	scrapePatience = time.Second
)

// expiryWindows are the times within which tokens that end are counted.
var expiryWindows = []struct {
	name   string
	within time.Duration
}{
	{"1d", 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
}

var (
	connectorsDesc = prometheus.NewDesc("kube_connector_connectors",
		"Connectors, by the status and the reason of their condition Ready.", []string{"ready", "reason"}, nil)
	classesDesc = prometheus.NewDesc("kube_connector_connector_classes",
		"ConnectorClasses, by the status of their condition Ready.", []string{"ready"}, nil)
	expiryDesc = prometheus.NewDesc("kube_connector_token_expiry_seconds",
		"In how many seconds the next token of a Connector ends. Missing if no token says when it ends.", nil, nil)
	expiringDesc = prometheus.NewDesc("kube_connector_tokens_expiring",
		"Connectors whose token has not ended and does within a day (1d) or a week (7d).", []string{"within"}, nil)
	lateDesc = prometheus.NewDesc("kube_connector_tokens_late",
		"Connectors whose token should have been renewed by now: their condition TokenExpiryReady is False, for Expiring.", nil, nil)
	consumersDesc = prometheus.NewDesc("kube_connector_consumers",
		"Pods that use a Connector and have not ended, by whether the Connector has changed since; one that uses several counts for each.", []string{"outdated"}, nil)
)

// collector tells how Connectors are, from what is cached, when it is asked. No
// Connector and no namespace is a label: there may be ten thousand.
type collector struct{ reader client.Reader }

// NewCollector makes the metrics about Connectors and their classes, from the
// caches of the manager that the controller runs in. Every replica has them,
// whether it leads or not.
func NewCollector(cache client.Reader) prometheus.Collector {
	return collector{reader: cache}
}

// Describe implements prometheus.Collector.
func (collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{connectorsDesc, classesDesc, expiryDesc, expiringDesc, lateDesc, consumersDesc} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector. What is not known yet is left out, and
// the rest of the metrics can still be read.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	var connectors v1alpha1.ConnectorList
	if c.reader.List(ctx, &connectors, client.UnsafeDisableDeepCopy) == nil {
		t := newTally()
		now := time.Now()
		for i := range connectors.Items {
			t.add(&connectors.Items[i].Status, now)
		}
		t.collect(gauge)
	}
	var classes v1alpha1.ConnectorClassList
	if c.reader.List(ctx, &classes, client.UnsafeDisableDeepCopy) == nil {
		by := map[metav1.ConditionStatus]int{metav1.ConditionTrue: 0, metav1.ConditionFalse: 0, metav1.ConditionUnknown: 0}
		for i := range classes.Items {
			by[readiness(classes.Items[i].Status.Conditions).ready]++
		}
		for ready, n := range by {
			gauge(classesDesc, float64(n), string(ready))
		}
	}
}

// state is the condition Ready in short.
type state struct {
	ready  metav1.ConditionStatus
	reason string
}

// readiness is the state that conditions tell.
func readiness(conditions []metav1.Condition) state {
	found := meta.FindStatusCondition(conditions, string(v1alpha1.ConditionReady))
	if found == nil {
		return state{metav1.ConditionUnknown, "NotChecked"}
	}
	switch found.Status {
	case metav1.ConditionTrue, metav1.ConditionFalse:
		return state{found.Status, found.Reason}
	default:
		return state{metav1.ConditionUnknown, found.Reason}
	}
}

// tally counts Connectors.
type tally struct {
	states         map[state]int
	expires        bool
	nextExpiry     time.Duration
	expiring       []int
	late           int
	pods, outdated int
}

func newTally() *tally {
	return &tally{
		// The zero is there before the first one.
		states:   map[state]int{{metav1.ConditionTrue, string(v1alpha1.ReasonReady)}: 0},
		expiring: make([]int, len(expiryWindows)),
	}
}

func (t *tally) add(status *v1alpha1.ConnectorStatus, now time.Time) {
	s := readiness(status.Conditions)
	if _, known := t.states[s]; !known && len(t.states) >= maxReasons {
		s.reason = "Other"
	}
	t.states[s]++
	if at := status.TokenExpirationTime; at != nil {
		// One that has ended is a reason of Ready, and would hide the next.
		if left := at.Sub(now); left > 0 {
			if !t.expires || left < t.nextExpiry {
				t.expires, t.nextExpiry = true, left
			}
			for i, window := range expiryWindows {
				if left <= window.within {
					t.expiring[i]++
				}
			}
		}
	}
	if found := meta.FindStatusCondition(status.Conditions, string(v1alpha1.ConditionTokenExpiryReady)); found != nil && found.Reason == string(v1alpha1.ReasonExpiring) {
		t.late++
	}
	if c := status.Consumers; c != nil {
		t.pods += int(c.Pods)
		t.outdated += int(c.Outdated)
	}
}

func (t *tally) collect(gauge func(*prometheus.Desc, float64, ...string)) {
	for s, n := range t.states {
		gauge(connectorsDesc, float64(n), string(s.ready), s.reason)
	}
	if t.expires {
		gauge(expiryDesc, t.nextExpiry.Seconds())
	}
	for i, window := range expiryWindows {
		gauge(expiringDesc, float64(t.expiring[i]), window.name)
	}
	gauge(lateDesc, float64(t.late))
	gauge(consumersDesc, float64(t.outdated), strconv.FormatBool(true))
	gauge(consumersDesc, float64(t.pods-t.outdated), strconv.FormatBool(false))
}
