package controller_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/controller"
)

func TestSchedule(t *testing.T) {
	s := controller.DefaultSchedule()
	for _, tc := range []struct {
		ready      bool
		failingFor time.Duration
		want       time.Duration
	}{
		{true, 0, 5 * time.Minute},
		{true, time.Hour, 5 * time.Minute},
		{false, 0, 10 * time.Second},
		{false, 5*time.Minute - 1, 10 * time.Second},
		{false, 5 * time.Minute, time.Minute},
		{false, 24 * time.Hour, time.Minute},
	} {
		seen := make(map[time.Duration]bool)
		for range 100 {
			next := s.Next(tc.ready, tc.failingFor)
			require.GreaterOrEqual(t, next, tc.want-tc.want/10)
			require.LessOrEqual(t, next, tc.want+tc.want/10)
			seen[next] = true
		}
		require.Greater(t, len(seen), 50, "it is jittered")
	}
}

// flaky is a target that can be told to fail its next probes.
type flaky struct {
	*httptest.Server
	probes, failures atomic.Int64
}

func newFlaky(t *testing.T) *flaky {
	t.Helper()
	f := &flaky{}
	f.Server = target(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			f.probes.Add(1)
			if f.failures.Add(-1) >= 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		healthy(w, r)
	})
	return f
}

// awaitProbes waits until the target was probed n times more.
func (f *flaky) awaitProbes(t *testing.T, n int64) {
	t.Helper()
	until := f.probes.Load() + n
	require.Eventually(t, func() bool { return f.probes.Load() >= until }, later, tick)
}

func TestStatusIsNotWrittenWhenNothingChanged(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	status, configMap := f.read(t).ResourceVersion, f.configMap(t).ResourceVersion
	asked := f.invariants.asked(f.namespace)
	require.Positive(t, asked)
	server.awaitProbes(t, 5)
	require.Equal(t, status, f.read(t).ResourceVersion)
	require.Equal(t, configMap, f.configMap(t).ResourceVersion)
	require.Equal(t, asked, f.invariants.asked(f.namespace), "the API server was not asked for anything")

	// The same for one that fails.
	server.failures.Store(1 << 40)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonProbeFailed, "503"))
	status, asked = f.read(t).ResourceVersion, f.invariants.asked(f.namespace)
	server.awaitProbes(t, 5)
	require.Equal(t, status, f.read(t).ResourceVersion)
	require.Equal(t, asked, f.invariants.asked(f.namespace))
}

func TestTargetGoesAndComesBack(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	server.failures.Store(1 << 40)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonProbeFailed, "503"))
	server.failures.Store(0)
	f.await(later, ready)
}

// A probe or two that fail between good ones do not show.
func TestBlipDoesNotShow(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.create(f.secret, f.connector)
	f.await(soon, ready)

	before := f.read(t).ResourceVersion
	watching, err := client.NewWithWatch(f.config, client.Options{Scheme: f.admin.Scheme()})
	require.NoError(t, err)
	statuses, err := watching.Watch(t.Context(), &v1alpha1.ConnectorList{}, client.InNamespace(f.namespace))
	require.NoError(t, err)

	var seen []metav1.ConditionStatus
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for event := range statuses.ResultChan() {
			if c, ok := event.Object.(*v1alpha1.Connector); ok && event.Type != watch.Deleted {
				seen = append(seen, meta.FindStatusCondition(c.Status.Conditions, string(v1alpha1.ConditionReady)).Status)
			}
		}
	}()
	for _, failures := range []int64{1, 2} {
		server.failures.Store(failures)
		server.awaitProbes(t, failures+3)
		require.Negative(t, server.failures.Load(), "the failures were met")
	}
	// One probe more after the last failure has ended, so its status is written.
	statuses.Stop()
	<-watched
	require.NotContains(t, seen, metav1.ConditionFalse)
	require.NotContains(t, seen, metav1.ConditionUnknown)
	f.await(soon, ready)
	require.Equal(t, before, f.read(t).ResourceVersion, "the status was not written at all")
}

func TestDeletedConnectorIsNotProbed(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	server.awaitProbes(t, 1)
	f.remove(f.connector)
	// Periods are 0.2 s: after a while without a probe there will be none.
	require.Eventually(t, quietFor(time.Second, server.probes.Load), later, tick)
}

// quietFor is a condition that holds once a number has not changed for a while.
func quietFor(d time.Duration, number func() int64) func() bool {
	last, since := number(), time.Now()
	return func() bool {
		if now := number(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > d
	}
}
