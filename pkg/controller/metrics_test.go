package controller_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/controller"
)

// cached stands for the caches of a manager.
type cached struct {
	client.Reader
	connectors, classes []runtime.Object
	err                 error
}

// List fills a list as a cache does, without copies.
func (c *cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.ConnectorClassList); ok {
		return errors.Join(c.err, meta.SetList(list, c.classes))
	}
	return errors.Join(c.err, meta.SetList(list, c.connectors))
}

// samples are what a collector says, by name and labels.
func samples(t require.TestingT, collector prometheus.Collector) map[string]float64 {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := make([]string, 0, len(metric.GetLabel()))
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			found[strings.TrimPrefix(family.GetName(), "kube_connector_")+"{"+strings.Join(labels, ",")+"}"] = metric.GetGauge().GetValue()
		}
	}
	return found
}

func connectorWith(ready metav1.ConditionStatus, reason string) *v1alpha1.Connector {
	c := &v1alpha1.Connector{}
	c.Status.Conditions = []metav1.Condition{
		{Type: "Other", Status: metav1.ConditionTrue, Reason: "Other"}, {Type: "Ready", Status: ready, Reason: reason},
	}
	return c
}

func TestMetrics(t *testing.T) {
	expiring := func(in time.Duration) *v1alpha1.Connector {
		c := connectorWith(metav1.ConditionTrue, "Ready")
		c.Status.TokenExpirationTime = &metav1.Time{Time: time.Now().Add(in)}
		return c
	}
	used := connectorWith(metav1.ConditionFalse, "SecretNotFound")
	used.Status.Consumers = &v1alpha1.ConnectorConsumers{Pods: 5, Outdated: 2}
	late := expiring(2 * time.Hour)
	late.Status.Conditions = append(late.Status.Conditions, metav1.Condition{Type: "TokenExpiryReady", Status: metav1.ConditionFalse, Reason: "Expiring"})
	class := &v1alpha1.ConnectorClass{}
	class.Status.Conditions = used.Status.Conditions
	got := samples(t, controller.NewCollector(&cached{
		connectors: []runtime.Object{
			expiring(-time.Hour), expiring(30 * time.Hour), late, expiring(8 * 24 * time.Hour),
			used, used, connectorWith(metav1.ConditionUnknown, "Probing"), connectorWith("nonsense", "Probing"), &v1alpha1.Connector{},
		},
		classes: []runtime.Object{class, &v1alpha1.ConnectorClass{}},
	}))
	require.InDelta(t, 7200, got["token_expiry_seconds{}"], 60)
	delete(got, "token_expiry_seconds{}")
	require.Equal(t, map[string]float64{
		"connectors{ready=True,reason=Ready}":           4,
		"connectors{ready=False,reason=SecretNotFound}": 2,
		"connectors{ready=Unknown,reason=Probing}":      2,
		"connectors{ready=Unknown,reason=NotChecked}":   1,
		"connector_classes{ready=True}":                 0,
		"connector_classes{ready=False}":                1,
		"connector_classes{ready=Unknown}":              1,
		"tokens_expiring{within=1d}":                    1,
		"tokens_expiring{within=7d}":                    2,
		"tokens_late{}":                                 1,
		"consumers{outdated=true}":                      4,
		"consumers{outdated=false}":                     6,
	}, got)
}

// Nothing that is in an object makes series without end.
func TestMetricsAreBounded(t *testing.T) {
	hostile := &cached{}
	for i := range 1000 {
		c := connectorWith(metav1.ConditionStatus(fmt.Sprint("status", i)), fmt.Sprint("reason", i))
		c.Namespace, c.Name = fmt.Sprint("namespace", i), fmt.Sprint("name", i)
		hostile.connectors = append(hostile.connectors, c)
	}
	got := samples(t, controller.NewCollector(hostile))
	require.Less(t, len(got), 70)
	require.InDelta(t, 951, got["connectors{ready=Unknown,reason=Other}"], 0)
}

// What cannot be read is left out; the rest of a scrape goes on.
func TestMetricsWithoutCaches(t *testing.T) {
	require.Empty(t, samples(t, controller.NewCollector(&cached{err: errors.New("not synced")})))
}

// The metrics follow what is in the cluster.
func TestMetricsOfACluster(t *testing.T) {
	f := newFixture(t, patient)
	collector := controller.NewCollector(f.manager.GetCache())
	await := func(series string, value float64) {
		t.Helper()
		require.EventuallyWithT(t, func(t *assert.CollectT) { assert.InDelta(t, value, samples(t, collector)[series], 0) }, later, tick)
	}
	await("connectors{ready=True,reason=Ready}", 0)
	f.create(f.connector)
	await("connectors{ready=False,reason=SecretNotFound}", 1)
	f.create(f.secret)
	await("connectors{ready=True,reason=Ready}", 1)
	await("connectors{ready=False,reason=SecretNotFound}", 0)
	f.create(f.pod("app"))
	await("consumers{outdated=false}", 1)
	f.update(f.connector, func() { f.connector.Spec.Address += "/" })
	await("consumers{outdated=true}", 1)
	await("consumers{outdated=false}", 0)
}

// BenchmarkScrape is a scrape at ten thousand Connectors.
func BenchmarkScrape(b *testing.B) {
	full := &cached{}
	for i := range 10_000 {
		c := connectorWith(metav1.ConditionFalse, fmt.Sprint("reason", i%20))
		for range 7 {
			c.Status.Conditions = append(c.Status.Conditions, c.Status.Conditions[0])
		}
		c.Status.TokenExpirationTime = &metav1.Time{Time: time.Now().Add(time.Hour)}
		full.connectors = append(full.connectors, c)
	}
	registry := prometheus.NewRegistry()
	require.NoError(b, registry.Register(controller.NewCollector(full)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := registry.Gather()
		require.NoError(b, err)
	}
}
