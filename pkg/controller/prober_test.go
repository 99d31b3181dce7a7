package controller

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

const (
	never   = time.Hour
	waiting = 20 * time.Second
)

// probing is a prober at work.
type probing struct {
	*prober
	t     *testing.T
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	class *probe.Class
	stop  func()
}

// startProber starts a prober. What it finds out is good for as long as reuse.
func startProber(t *testing.T, reuse time.Duration, options ProbeOptions) *probing {
	t.Helper()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	p, err := newProber(Options{
		Schedule: Schedule{Ready: reuse, Failing: reuse, FailingFor: reuse, Failed: reuse},
		Probes:   options,
	}, func(key types.NamespacedName) { queue.Add(reconcile.Request{NamespacedName: key}) })
	require.NoError(t, err)
	var class v1alpha1.ConnectorClass
	content, err := os.ReadFile("classes/k8s.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(content, &class))
	compiled, err := probe.Compile(&class.Spec)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Start(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
		queue.ShutDown()
	}
	t.Cleanup(stop)
	return &probing{p, t, queue, compiled, stop}
}

// server is a target that counts what it is asked.
type server struct {
	*httptest.Server
	liveness, auth, version, connections atomic.Int64
	dead                                 atomic.Bool
}

// serveProbes answers as an API server does, unless before has answered.
func serveProbes(t *testing.T, before func(http.ResponseWriter, *http.Request) bool) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/livez"):
			s.liveness.Add(1)
		case strings.HasSuffix(r.URL.Path, "/version"):
			s.version.Add(1)
		default:
			s.auth.Add(1)
		}
		switch {
		case before != nil && before(w, r):
		case s.dead.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"gitVersion":"v1.36.3"}`)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"jane"}}}`)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// inputs are those of a Connector of the server with a token.
func (p *probing) inputs(s *server, token string) inputs {
	p.t.Helper()
	address, err := connector.ParseAddress(s.URL)
	require.NoError(p.t, err)
	c := &v1alpha1.Connector{Spec: v1alpha1.ConnectorSpec{Address: s.URL}}
	in := inputs{address: address, ca: []*x509.Certificate{s.Certificate()}}
	in.liveness, err = p.class.Liveness(c)
	require.NoError(p.t, err)
	in.auth, err = p.class.Auth("bearerTokenAuth", c, map[string][]byte{"token": []byte(token)})
	require.NoError(p.t, err)
	return in
}

func key(name any) types.NamespacedName {
	return types.NamespacedName{Namespace: "team", Name: fmt.Sprint(name)}
}

// await asks until there is an outcome.
func (p *probing) await(name any, in inputs) outcome {
	p.t.Helper()
	return p.awaitFor(key(name), in)
}

func (p *probing) awaitFor(key types.NamespacedName, in inputs) outcome {
	p.t.Helper()
	var result outcome
	require.Eventually(p.t, func() bool {
		var ok bool
		result, ok = p.ask(p.t.Context(), key, in, false)
		return ok
	}, waiting, time.Millisecond)
	return result
}

// What is true for all Connectors of a target is asked once, and their auth probes
// share connections.
func TestTargetIsShared(t *testing.T) {
	s, p := serveProbes(t, nil), startProber(t, never, ProbeOptions{})
	const n = 30
	for i := range n {
		require.Equal(t, outcome{user: "jane", version: "v1.36.3"}, p.await(i, p.inputs(s, fmt.Sprint("token-of-", i))))
	}
	require.EqualValues(t, 1, s.liveness.Load())
	require.EqualValues(t, 1, s.version.Load())
	require.EqualValues(t, n, s.auth.Load())
	require.EqualValues(t, 2, s.connections.Load())

	// What was asked just now is not asked again.
	require.True(t, p.await(0, p.inputs(s, "token-of-0")).ok())
	require.EqualValues(t, n, s.auth.Load())
	// A Connector whose certificates are others is of another target.
	other := p.inputs(s, "token")
	other.ca = nil
	require.Equal(t, probe.UnknownAuthority, kindOf(p.await("other", other).liveness))
}

func TestAnswersGetOld(t *testing.T) {
	s, p := serveProbes(t, nil), startProber(t, time.Nanosecond, ProbeOptions{})
	for i := range 3 {
		require.True(t, p.await(0, p.inputs(s, "token")).ok())
		require.GreaterOrEqual(t, s.liveness.Load(), int64(i+1))
		require.GreaterOrEqual(t, s.auth.Load(), int64(i+1))
		require.GreaterOrEqual(t, s.version.Load(), int64(i+1))
	}
}

// If a target goes or comes back, all its Connectors are looked at, whenever their
// own time would be.
func TestChangeConcernsAll(t *testing.T) {
	s, p := serveProbes(t, nil), startProber(t, never, ProbeOptions{})
	const n = 5
	for i := range n {
		require.True(t, p.await(i, p.inputs(s, "token")).ok())
	}
	require.Zero(t, p.queue.Len())
	for _, dead := range []bool{true, false} {
		s.dead.Store(dead)
		p.mu.Lock()
		for _, t := range p.targets {
			t.liveness.finished = t.liveness.finished.Add(-never)
		}
		p.runs[key(0)].finished = time.Now().Add(-never)
		p.mu.Unlock()
		require.Equal(t, !dead, p.await(0, p.inputs(s, "token")).ok())

		woken := map[string]bool{}
		for range n - 1 {
			request, _ := p.queue.Get()
			p.queue.Done(request)
			woken[request.Name] = true
		}
		require.Len(t, woken, n-1+boolToInt(woken["0"]), "those that wait are told by their own probe")
		for i := 1; i < n; i++ {
			require.Equal(t, !dead, p.await(i, p.inputs(s, "token")).ok(), "what is known of the target is not what it was")
		}
		for p.queue.Len() > 0 {
			request, _ := p.queue.Get()
			p.queue.Done(request)
		}
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A reconcile waits for a target once, and not at all if it hangs for others already.
func TestPatience(t *testing.T) {
	target := &target{}
	require.Equal(t, patience, target.patience())
	target.liveness = &flight{started: time.Now()}
	require.Equal(t, patience, target.patience())
	target.liveness.started = time.Now().Add(-2 * patience)
	require.Zero(t, target.patience())
	target.liveness.finished = time.Now()
	require.Equal(t, patience, target.patience())
	target.paces.auth = pace{late: time.Now()}
	require.Zero(t, target.patience())
}

// A target is slow if it was so twice in a row, or the first time that it was asked.
func TestPace(t *testing.T) {
	type answer struct{ asked, took time.Duration }
	const short, long, later = patience / 2, 2 * patience, time.Minute
	for name, test := range map[string]struct {
		answers     []answer
		quick, slow bool
	}{
		"unproven":                {},
		"quick":                   {[]answer{{0, short}}, true, false},
		"slow at first":           {[]answer{{0, long}}, false, true},
		"a pause":                 {[]answer{{0, short}, {later, long}}, true, false},
		"a pause that two saw":    {[]answer{{0, short}, {later, long}, {later + short, long}}, true, false},
		"two pauses":              {[]answer{{0, short}, {later, long}, {2 * later, short}, {3 * later, long}}, true, false},
		"it became slow":          {[]answer{{0, short}, {later, long}, {2 * later, long}}, false, true},
		"it stays slow":           {[]answer{{0, short}, {later, long}, {2 * later, long}, {3 * later, long}}, false, true},
		"it became quick":         {[]answer{{0, short}, {later, long}, {2 * later, long}, {3 * later, short}}, true, false},
		"quick after slow":        {[]answer{{0, long}, {later, short}}, true, false},
		"as long as one may wait": {[]answer{{0, patience}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			epoch := time.Now()
			var target target
			for _, a := range test.answers {
				target.paces.auth.note(epoch.Add(a.asked), epoch.Add(a.asked+a.took))
			}
			require.Equal(t, test.quick, target.paces.auth.quick)
			require.Equal(t, test.slow, target.paces.auth.slow())
			require.Equal(t, test.slow, target.patience() == 0)
		})
	}
}

// The version is what it was if it cannot be learnt anew, and is none of a target
// that never said it.
func TestVersionIsKept(t *testing.T) {
	var silent atomic.Bool
	s := serveProbes(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !silent.Load() || !strings.HasSuffix(r.URL.Path, "/version") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	p := startProber(t, time.Nanosecond, ProbeOptions{})
	require.Equal(t, "v1.36.3", p.await(0, p.inputs(s, "token")).version)
	silent.Store(true)
	asked := s.version.Load()
	result := p.await(0, p.inputs(s, "another"))
	require.Equal(t, outcome{user: "jane", version: "v1.36.3"}, result)
	require.Greater(t, s.version.Load(), asked)

	mute := serveProbes(t, func(_ http.ResponseWriter, r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/version") })
	require.Equal(t, outcome{user: "jane"}, p.await(1, p.inputs(mute, "token")))
}

// Who waits for a version that another Connector asks for gets it, even if the other
// goes away meanwhile.
func TestVersionOutlivesWhoAsks(t *testing.T) {
	var s *server
	arrived := make(chan struct{})
	s = serveProbes(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/version") || s.version.Load() != 1 {
			return false
		}
		close(arrived)
		<-r.Context().Done()
		return true
	})
	p := startProber(t, never, ProbeOptions{Options: probe.Options{Timeout: time.Minute}})
	_, ok := p.ask(t.Context(), key(0), p.inputs(s, "token"), false)
	require.False(t, ok)
	<-arrived
	const n = 5
	for i := range n {
		_, ok := p.ask(t.Context(), key(i+1), p.inputs(s, "token"), false)
		require.False(t, ok)
	}
	require.Eventually(t, func() bool { return s.auth.Load() == n+1 }, waiting, time.Millisecond)
	p.forget(key(0))
	for i := range n {
		require.Equal(t, "v1.36.3", p.await(i+1, p.inputs(s, "token")).version)
	}
	require.EqualValues(t, 2, s.version.Load(), "one of them asks for all")
}

// The last Connector of a target takes all that is known of it along.
func TestForget(t *testing.T) {
	s, p := serveProbes(t, nil), startProber(t, never, ProbeOptions{})
	for i := range 2 {
		require.True(t, p.await(i, p.inputs(s, "token")).ok())
	}
	require.Len(t, p.targets, 1)
	other := serveProbes(t, nil)
	require.True(t, p.await(0, p.inputs(other, "token")).ok()) // its address was changed
	require.Len(t, p.targets, 2)
	p.forget(key(0))
	p.forget(key(0))
	require.Len(t, p.targets, 1)
	p.forget(key(1))
	require.Empty(t, p.targets)
	require.Empty(t, p.runs)
}

// Probes end with the prober, and their outcomes are none.
func TestStop(t *testing.T) {
	arrived := make(chan struct{}, 1)
	s := serveProbes(t, func(_ http.ResponseWriter, r *http.Request) bool {
		arrived <- struct{}{}
		<-r.Context().Done()
		return true
	})
	p := startProber(t, never, ProbeOptions{Options: probe.Options{Timeout: time.Minute}})
	_, ok := p.ask(t.Context(), key(0), p.inputs(s, "token"), false)
	require.False(t, ok)
	<-arrived
	p.stop()
	_, ok = p.ask(t.Context(), key(0), p.inputs(s, "token"), false)
	require.False(t, ok)
	_, ok = p.ask(t.Context(), key(1), p.inputs(s, "token"), false)
	require.False(t, ok)
}

func TestProbeMetrics(t *testing.T) {
	s := serveProbes(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	p := startProber(t, never, ProbeOptions{})
	registry := prometheus.NewRegistry()
	counts, err := newProbeMetrics(registry)
	require.NoError(t, err)
	again, err := newProbeMetrics(registry)
	require.NoError(t, err)
	require.Equal(t, counts, again)
	p.metrics = counts
	require.Error(t, p.await(0, p.inputs(s, "token")).auth)
	require.InDelta(t, 1, counterOf(t, counts.failures.WithLabelValues("auth", "unauthenticated")), 0)
	require.Zero(t, counterOf(t, counts.failures.WithLabelValues("liveness", "connection_failed")))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 2)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if h := metric.GetHistogram(); h != nil {
				require.EqualValues(t, 1, h.GetSampleCount())
			}
		}
	}
}

func counterOf(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var metric dto.Metric
	require.NoError(t, counter.Write(&metric))
	return metric.GetCounter().GetValue()
}
