package controller

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// Targets that hang fill the places of those that are slow, and no others.
func TestSlowTargetsDoNotDelayOthers(t *testing.T) {
	over := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-over:
		case <-r.Context().Done():
		}
		return true
	}
	hangAtAuth := func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPost && hang(w, r)
	}
	s, p := serveProbes(t, nil), startProber(t, time.Nanosecond, ProbeOptions{Max: 4, Options: probe.Options{Timeout: time.Minute}})
	require.True(t, p.await("quick", p.inputs(s, "token")).ok())
	slow := serveProbes(t, hangAtAuth)
	hanging := []*server{slow, serveProbes(t, hang), serveProbes(t, hang), serveProbes(t, hang)}
	for i, h := range hanging {
		for j := range 3 {
			_, ok := p.ask(t.Context(), key(fmt.Sprint(i, j)), p.inputs(h, "token"), false)
			require.False(t, ok)
		}
	}
	for range 3 {
		require.True(t, p.await("quick", p.inputs(s, "token")).ok())
	}
	require.EqualValues(t, 1, slow.auth.Load(), "a target gets an eighth of the places, but one")
	asked := int64(0)
	for _, h := range hanging[1:] {
		asked += h.liveness.Load()
	}
	require.LessOrEqual(t, asked, int64(2))
	close(over)
}

// silence makes requests hang, until one is let go or nobody waits for it.
type silence chan struct{}

func (s silence) at(path string) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		select {
		case <-s:
		case <-r.Context().Done():
		}
		return true
	}
}

// flood asks for n Connectors of a namespace, each with a target of its own.
func (p *probing) flood(namespace string, n int, s *server) {
	p.t.Helper()
	for i := range n {
		in := p.inputs(s, "token")
		var err error
		in.address, err = connector.ParseAddress(fmt.Sprintf("%s/%s-%d", s.URL, namespace, i))
		require.NoError(p.t, err)
		p.mention(types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(i)}, in)
	}
}

// mention asks, and does not wait.
func (p *probing) mention(key types.NamespacedName, in inputs) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	cancel()
	p.ask(ctx, key, in, false)
}

// awaitWaiting waits until n requests of a namespace wait for their turn.
func (p *probing) awaitWaiting(namespace string, n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		count := 0
		for q, claims := range p.slots.waiting {
			for _, c := range claims {
				if q.namespace == namespace && q.has(c) {
					count++
				}
			}
		}
		return count == n
	}, waiting, time.Millisecond)
}

// A namespace whose targets hang, whatever it is that they are silent at, takes
// nothing from the others: neither from quick targets, nor from new ones, nor from
// those that it shares with others.
func TestNamespaceGetsItsShare(t *testing.T) {
	const n = 20
	const share = 2 // of 8: half of the half
	for _, silentAt := range []string{"/livez", "/selfsubjectreviews", "/version"} {
		t.Run(strings.Trim(silentAt, "/"), func(t *testing.T) {
			silent, known, fresh := serveProbes(t, make(silence).at(silentAt)), serveProbes(t, nil), serveProbes(t, nil)
			p := startProber(t, time.Nanosecond, ProbeOptions{Max: 8, Options: probe.Options{Timeout: time.Minute}})
			quick := types.NamespacedName{Namespace: "calm", Name: "quick"}
			require.True(t, p.awaitFor(quick, p.inputs(known, "token")).ok())
			p.flood("noisy", n, silent)
			p.awaitWaiting("noisy", n-share)
			p.mention(types.NamespacedName{Namespace: "noisy", Name: "shared"}, p.inputs(fresh, "token"))
			p.awaitWaiting("noisy", n-share+1)

			require.True(t, p.awaitFor(quick, p.inputs(known, "token")).ok())
			result := p.awaitFor(types.NamespacedName{Namespace: "calm", Name: "new"}, p.inputs(fresh, "token"))
			require.Equal(t, outcome{user: "jane", version: "v1.36.3"}, result)
		})
	}
}

// Where many wait, the namespace that has least is next, whoever came first.
func TestNamespacesTakeTurns(t *testing.T) {
	over := make(silence)
	silent, fresh := serveProbes(t, over.at("/livez")), serveProbes(t, nil)
	p := startProber(t, never, ProbeOptions{Max: 8, Options: probe.Options{Timeout: time.Minute}})
	const n = 20
	p.flood("noisy", n, silent)
	p.flood("loud", n, silent)
	p.awaitWaiting("noisy", n-2)
	p.awaitWaiting("loud", n-2)
	calm := types.NamespacedName{Namespace: "calm", Name: "new"}
	p.mention(calm, p.inputs(fresh, "token"))
	for _, asked := range []*atomic.Int64{&fresh.liveness, &fresh.auth, &fresh.version} {
		p.awaitWaiting("calm", 1)
		require.Zero(t, asked.Load())
		over <- struct{}{}
		require.Eventually(t, func() bool { return asked.Load() == 1 }, waiting, time.Millisecond)
	}
	require.True(t, p.awaitFor(calm, p.inputs(fresh, "token")).ok())
}
