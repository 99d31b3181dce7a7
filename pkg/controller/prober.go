package controller

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// patience is how long a reconcile waits for an answer of the target. Most come
// within it, and the status is written once; after it the status says what is
// known so far, and the answer starts a reconcile of its own.
const patience = 500 * time.Millisecond

// pauses are the pauses before a probe is tried again that failed where the same
// one succeeded before, so that a lost packet does not show in the status.
var pauses = []time.Duration{300 * time.Millisecond, time.Second}

// inputs are all that the outcome of a probe depends on, on this side.
type inputs struct {
	address connector.Address
	ca      []*x509.Certificate
	token   string
}

// fingerprint tells inputs apart without keeping the token.
func (in inputs) fingerprint() [sha256.Size]byte {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q", in.address, in.token)
	for _, certificate := range in.ca {
		hash.Write(certificate.Raw)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// outcome is what a target answered; nil is well. auth is nil too if there was
// no token or the target was not alive.
type outcome struct {
	liveness, auth error
	// user is whom the target takes the owner of the token for, and version what it
	// says it is; empty if it says neither.
	user, version string
}

func (o outcome) ok() bool { return o.liveness == nil && o.auth == nil }

// prober probes the targets of Connectors, at most one probe each at a time,
// beside the reconciles: they come and ask, and a probe that takes longer than
// they wait calls for another reconcile at its end.
type prober struct {
	// reuse is for how long an outcome is good for the same inputs. It keeps a
	// storm of changes in this cluster from becoming one at the target.
	reuse time.Duration

	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	runs    map[types.NamespacedName]*run
	// worked are the inputs with which a probe last succeeded.
	worked map[types.NamespacedName][sha256.Size]byte
}

// run is a probe of one Connector's target. Its fields belong to prober.mu,
// outcome and finished until done is closed.
type run struct {
	fingerprint [sha256.Size]byte
	cancel      context.CancelFunc
	done        chan struct{}
	outcome     outcome
	finished    time.Time
	// awaited says that a reconcile went away without the outcome.
	awaited bool
}

func newProber(reuse time.Duration) *prober {
	return &prober{
		reuse:  reuse,
		runs:   make(map[types.NamespacedName]*run),
		worked: make(map[types.NamespacedName][sha256.Size]byte),
	}
}

// Start makes the prober end with the manager.
func (p *prober) Start(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for _, r := range p.runs {
		r.cancel()
	}
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

// source gives the prober the queue of the controller.
func (p *prober) source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queue = queue
		return nil
	})
}

// ask returns the outcome of a probe with these inputs, of one that is new
// enough or of one that it starts. It is false if that takes longer than a
// reconcile should wait; another reconcile then comes when there is an outcome.
// wasReady says whether the status calls the Connector ready, which counts if
// this process has not seen it succeed or fail yet.
func (p *prober) ask(ctx context.Context, key types.NamespacedName, in inputs, wasReady bool) (outcome, bool) {
	fingerprint := in.fingerprint()

	p.mu.Lock()
	current := p.runs[key]
	if current == nil || current.fingerprint != fingerprint || p.isOld(current) {
		if current != nil {
			current.cancel()
		}
		if current = p.begin(ctx, key, in, fingerprint, wasReady); current == nil {
			p.mu.Unlock()
			return outcome{}, false
		}
	}
	p.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-current.done:
		return current.outcome, true
	case <-timer.C:
	case <-ctx.Done():
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if !current.finished.IsZero() {
		return current.outcome, true
	}
	current.awaited = true
	return outcome{}, false
}

func (p *prober) isOld(r *run) bool {
	return !r.finished.IsZero() && time.Since(r.finished) > p.reuse
}

// begin starts a run, with p.mu held. It is nil if the prober has stopped. The
// run outlives the reconcile that begins it.
func (p *prober) begin(ctx context.Context, key types.NamespacedName, in inputs, fingerprint [sha256.Size]byte, wasReady bool) *run {
	if p.stopped {
		return nil
	}
	tries := 1
	if worked, known := p.worked[key]; known && worked == fingerprint || !known && wasReady {
		tries += len(pauses)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{fingerprint: fingerprint, cancel: cancel, done: make(chan struct{})}
	p.runs[key] = r
	p.running.Go(func() {
		defer cancel()
		p.end(key, r, probeTarget(ctx, in, tries))
	})
	return r
}

// end records the outcome of a run, unless another took its place meanwhile.
func (p *prober) end(key types.NamespacedName, r *run, result outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.outcome, r.finished = result, time.Now()
	close(r.done)
	if p.runs[key] != r {
		return
	}
	if result.ok() {
		p.worked[key] = r.fingerprint
	} else {
		delete(p.worked, key)
	}
	if r.awaited && p.queue != nil {
		p.queue.Add(reconcile.Request{NamespacedName: key})
	}
}

// forget drops what is known of a Connector that is no more.
func (p *prober) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[key]; r != nil {
		r.cancel()
	}
	delete(p.runs, key)
	delete(p.worked, key)
}

// probeTarget probes until an outcome is good or the tries are used up.
func probeTarget(ctx context.Context, in inputs, tries int) outcome {
	for try := 0; ; try++ {
		result := probeOnce(ctx, in)
		if result.ok() || try+1 >= tries {
			return result
		}
		select {
		case <-time.After(pauses[try]):
		case <-ctx.Done():
			return result
		}
	}
}

func probeOnce(ctx context.Context, in inputs) outcome {
	target, err := probe.NewTarget(in.address, in.ca)
	if err != nil {
		return outcome{liveness: err}
	}
	defer target.Close()
	if err := target.Alive(ctx); err != nil {
		return outcome{liveness: err}
	}
	if in.token == "" {
		return outcome{}
	}
	err = target.Accepts(ctx, in.token)
	switch kindOf(err) {
	case probe.ConnectionFailed, probe.UnknownAuthority, probe.CertificateInvalid, probe.ServerError:
		// It stopped being alive between the two.
		return outcome{liveness: err}
	default:
		return outcome{auth: err}
	}
}
