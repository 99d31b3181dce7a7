package controller

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

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

// ProbeOptions say how targets are probed.
type ProbeOptions struct {
	probe.Options
	// Max is how many probes are in flight at once, DefaultMaxProbes if it is zero.
	// One target gets an eighth of them, those that are slow get half in all, and one
	// namespace gets half of that half.
	Max int
}

// fingerprint tells inputs of probes apart without keeping a secret.
type fingerprint [sha256.Size]byte

// inputs are all that the outcome of a probe depends on, on this side. They hold
// the secret: they are kept for as long as a probe takes.
type inputs struct {
	address connector.Address
	ca      []*x509.Certificate
	// liveness and auth are what is asked, nil if nothing is.
	liveness, auth *probe.Question
	// authError is why there is no question that should be there.
	authError error
}

// target tells targets apart: what is asked about one is true for all Connectors
// with the same.
func (in inputs) target() fingerprint {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q", in.address)
	for _, certificate := range in.ca {
		hash.Write(certificate.Raw)
	}
	if in.liveness != nil {
		question := in.liveness.Fingerprint()
		hash.Write(question[:])
	}
	return fingerprint(hash.Sum(nil))
}

// of tells the inputs of Connectors of one target apart.
func (in inputs) of(target fingerprint) fingerprint {
	hash := sha256.New()
	hash.Write(target[:])
	if in.authError != nil {
		fmt.Fprintf(hash, "%q", in.authError.Error())
	}
	if in.auth != nil {
		question := in.auth.Fingerprint()
		hash.Write(question[:])
	}
	return fingerprint(hash.Sum(nil))
}

// outcome is what a target answered; nil is well. auth is nil too if nothing was
// asked about that or the target was not alive.
type outcome struct {
	liveness, auth error
	// user and version are what the target said of the owner of the Secret and of
	// itself, "" if nothing.
	user, version string
}

func (o outcome) ok() bool { return o.liveness == nil && o.auth == nil }

// prober probes the targets of Connectors, for each Connector one probe at a time,
// beside the reconciles: they come and ask, and a probe that takes longer than
// they wait calls for another reconcile at its end.
type prober struct {
	options  Options
	schedule Schedule
	slots    slots
	metrics  *probeMetrics
	// look calls for a look at a Connector about which something was found out.
	look func(types.NamespacedName)
	// waiting bounds the reconciles that wait for an outcome at once.
	waiting chan struct{}

	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	runs    map[types.NamespacedName]*run
	targets map[fingerprint]*target
	swept   time.Time
}

// run is a probe of one Connector. Its fields belong to prober.mu, those below done
// until that is closed.
type run struct {
	inputs fingerprint
	target *target
	cancel context.CancelFunc
	// awaited says that a reconcile went away without the outcome.
	awaited bool

	done     chan struct{}
	outcome  outcome
	finished time.Time
	// changes are those of the target that the outcome knows of.
	changes int
	// void says that the run was cancelled: the outcome is none.
	void bool
}

func newProber(options Options, look func(types.NamespacedName)) (*prober, error) {
	counts, err := newProbeMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	return &prober{
		options:  options,
		schedule: options.Schedule,
		slots:    newSlots(options.Probes.Max),
		look:     look,
		waiting:  make(chan struct{}, concurrentReconciles*3/4),
		metrics:  counts,
		runs:     make(map[types.NamespacedName]*run),
		targets:  make(map[fingerprint]*target),
	}, nil
}

// Start makes the prober end with the manager.
func (p *prober) Start(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for _, r := range p.runs {
		r.cancel()
	}
	for _, t := range p.targets {
		t.close()
	}
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

// ask returns the outcome of a probe with these inputs, of one that is new
// enough or of one that it starts. It is false if that takes longer than a
// reconcile should wait; another reconcile then comes when there is an outcome.
// wasReady says whether the status calls the Connector ready, which counts if
// this process has not seen it succeed or fail yet.
func (p *prober) ask(ctx context.Context, key types.NamespacedName, in inputs, wasReady bool) (outcome, bool) {
	target := in.target()
	all := in.of(target)

	p.mu.Lock()
	current := p.runs[key]
	if current == nil || current.inputs != all || p.isOld(current) {
		if p.stopped {
			p.mu.Unlock()
			return outcome{}, false
		}
		current = p.begin(ctx, key, in, target, all, wasReady)
	}
	wait := current.target.patience()
	p.mu.Unlock()

	// Some are always free for Connectors whose targets need no waiting for.
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-current.done:
	case <-timer.C:
	case <-ctx.Done():
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if current.finished.IsZero() {
		current.awaited = true
		return outcome{}, false
	}
	current.awaited = false
	return current.outcome, !current.void
}

// isOld reports whether an outcome is no longer good. It stays so for a while,
// which keeps a storm of changes in this cluster from becoming one at the target.
func (p *prober) isOld(r *run) bool {
	switch {
	case r.finished.IsZero():
		return false
	case r.void || r.changes != r.target.changes:
		return true
	case r.awaited: // nobody has seen it yet
		return time.Since(r.finished) > p.schedule.Ready
	}
	return time.Since(r.finished) > p.schedule.Failing/2
}

// begin starts a run, with p.mu held. It outlives the reconcile that begins it.
func (p *prober) begin(ctx context.Context, key types.NamespacedName, in inputs, target, all fingerprint, wasReady bool) *run {
	before := p.runs[key]
	tries := 1
	if before == nil && wasReady || before != nil && before.inputs == all && before.outcome.ok() {
		tries += len(pauses)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{inputs: all, target: p.join(key, target), cancel: cancel, done: make(chan struct{})}
	p.runs[key] = r
	if before != nil {
		before.cancel()
		if before.target != r.target {
			p.leave(key, before.target)
		}
	}
	p.running.Go(func() {
		defer cancel()
		result, changes := p.probe(ctx, key.Namespace, r.target, in, tries, wasReady || tries > 1)
		p.end(ctx, key, r, result, changes)
	})
	return r
}

// end records the outcome of a run, unless another took its place meanwhile.
func (p *prober) end(ctx context.Context, key types.NamespacedName, r *run, result outcome, changes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.outcome, r.changes, r.finished, r.void = result, changes, time.Now(), ctx.Err() != nil
	r.cancel = func() {} // so that what ctx holds can go
	close(r.done)
	if p.runs[key] == r && r.awaited {
		p.look(key)
	}
}

// forget drops what is known of a Connector that is no more, or asks nothing.
func (p *prober) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[key]; r != nil {
		r.cancel()
		p.leave(key, r.target)
		delete(p.runs, key)
	}
}

// probe probes until an outcome is good or the tries are used up. Whether the target
// is alive is tried again if patient, even where what is asked has changed: a new CA
// for every Connector is no reason to show a lost packet. The number is that of the
// target's changes that the outcome knows of.
func (p *prober) probe(ctx context.Context, namespace string, t *target, in inputs, tries int, patient bool) (outcome, int) {
	var since time.Time
	for try := 0; ; try++ {
		changes, err := p.alive(ctx, namespace, t, in, since, patient)
		switch {
		case err != nil: // it was tried again already, for all Connectors of the target
			return outcome{liveness: err}, changes
		case in.auth == nil:
			return outcome{auth: in.authError}, changes
		}
		result := p.accepts(ctx, namespace, t, in)
		if result.ok() || try+1 >= tries {
			return result, changes
		}
		if result.liveness != nil {
			since = time.Now() // it does not help that it was alive before
		}
		select {
		case <-time.After(pauses[try]):
		case <-ctx.Done():
			return result, changes
		}
	}
}

// accepts asks whether the target accepts the Secret.
func (p *prober) accepts(ctx context.Context, namespace string, t *target, in inputs) outcome {
	var account probe.Account
	c := &claim{target: t, kind: authProbe, pace: &t.paces.auth, namespaces: []string{namespace}}
	err := p.request(ctx, c, in, func(ctx context.Context, target *probe.Target) (err error) {
		account, err = target.Accepts(ctx, in.auth)
		return err
	})
	switch kindOf(err) { //nolint:exhaustive // the others are about the Secret
	case probe.ConnectionFailed, probe.UnknownAuthority, probe.CertificateInvalid, probe.AddressForbidden, probe.ServerError:
		// It stopped being alive between the two.
		return outcome{liveness: err}
	}
	result := outcome{auth: err, user: account.User}
	if account.Kubernetes {
		result.version = p.version(ctx, namespace, t, in)
	}
	return result
}
