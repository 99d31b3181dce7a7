package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/probe"
)

// target is what Connectors with the same address, certificates and liveness probe
// share. Its fields belong to prober.mu.
type target struct {
	fingerprint fingerprint
	members     map[types.NamespacedName]struct{}
	// auths is how many auth probes are in flight.
	auths int
	// liveness is the last liveness probe or the one that is under way.
	liveness *flight
	// changes counts how often its answer was another than before.
	changes int
	version *flight
	// paces are apart for each kind of request, because a target may answer the one
	// and keep silent at the other.
	paces struct{ liveness, auth, version pace }
	// connections are closed if nobody uses them for a while.
	connections *probe.Target
	used        time.Time
}

// pace is how long a target takes to answer, longer than a reconcile waits or not.
type pace struct {
	// quick says that it answered in time, and was not late twice in a row since: one
	// late answer is a pause of the target, or a lost packet.
	quick bool
	// late is when the first of the late answers in a row came, zero if the last one
	// was none.
	late time.Time
}

func (p *pace) note(asked, answered time.Time) {
	switch {
	case answered.Sub(asked) <= patience:
		*p = pace{quick: true}
	case p.late.IsZero():
		p.late = answered
	case asked.After(p.late): // not one of those that were asked during the same pause
		p.quick = false
	}
}

// slow is false if nothing was asked yet, too.
func (p *pace) slow() bool { return !p.quick && !p.late.IsZero() }

// flight is a request whose answer is for all Connectors of a target. What is below
// done belongs to prober.mu until that is closed.
type flight struct {
	started time.Time
	cancel  context.CancelFunc
	// claim is nil once there is an answer.
	claim *claim

	done     chan struct{}
	finished time.Time
	err      error
	version  string
}

func (f *flight) underway() bool { return f != nil && f.finished.IsZero() }

// join makes a Connector a member of a target, with p.mu held.
func (p *prober) join(key types.NamespacedName, fingerprint fingerprint) *target {
	t := p.targets[fingerprint]
	if t == nil {
		t = &target{
			fingerprint: fingerprint,
			members:     make(map[types.NamespacedName]struct{}),
		}
		p.targets[fingerprint] = t
	}
	t.members[key] = struct{}{}
	return t
}

// leave takes a Connector from a target, with p.mu held. The last one takes the
// target with it.
func (p *prober) leave(key types.NamespacedName, t *target) {
	delete(t.members, key)
	if len(t.members) == 0 {
		t.close()
		delete(p.targets, t.fingerprint)
	}
}

func (t *target) close() {
	if t.liveness != nil {
		t.liveness.cancel()
	}
	if t.connections != nil {
		t.connections.Close()
		t.connections = nil
	}
}

// patience is how long a reconcile waits for an answer of this target: not at all
// if others have waited in vain.
func (t *target) patience() time.Duration {
	if t.paces.liveness.slow() || t.paces.auth.slow() || t.paces.version.slow() ||
		t.liveness.underway() && time.Since(t.liveness.started) > patience {
		return 0
	}
	return patience
}

// alive is the answer of the target to the liveness probe: the last one, if it is
// new enough and was asked for after since. patient says that the first probe is
// worth a second try. The number is that of the changes that the answer knows of.
func (p *prober) alive(ctx context.Context, namespace string, t *target, in inputs, since time.Time, patient bool) (changes int, err error) {
	if in.liveness == nil {
		return 0, nil
	}
	p.mu.Lock()
	f := t.liveness
	if f == nil || !f.underway() && (time.Since(f.finished) > p.reuse(f.err) || f.started.Before(since)) {
		f = p.launch(ctx, namespace, t, in, patient)
	} else if f.underway() {
		p.slots.want(f.claim, namespace)
	}
	p.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.changes, f.err
}

// reuse is for how long an answer is good: less than the least time after which a
// Connector of the target is looked at again.
func (p *prober) reuse(err error) time.Duration {
	if err != nil {
		return p.schedule.Failing * 3 / 4
	}
	return p.schedule.Ready * 3 / 4
}

// launch starts a liveness probe, with p.mu held. It outlives the run that starts
// it, because others wait for it too.
func (p *prober) launch(ctx context.Context, namespace string, t *target, in inputs, patient bool) *flight {
	before := t.liveness
	tries := 1
	if before == nil && patient || before != nil && before.err == nil {
		tries += len(pauses)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &claim{target: t, kind: livenessProbe, pace: &t.paces.liveness, namespaces: []string{namespace}}
	f := &flight{started: time.Now(), cancel: cancel, claim: c, done: make(chan struct{})}
	t.liveness = f
	if p.stopped || len(t.members) == 0 {
		cancel()
	}
	p.running.Go(func() {
		defer cancel()
		var err error
		for try := range tries {
			err = p.request(ctx, c, in, func(ctx context.Context, target *probe.Target) error {
				return target.Alive(ctx, in.liveness)
			})
			if err == nil || try+1 == tries {
				break
			}
			select {
			case <-time.After(pauses[try]):
			case <-ctx.Done():
			}
		}
		p.land(t, f, before, err)
	})
	return f
}

// land records the answer to a liveness probe. If it is another than before, all
// Connectors of the target are looked at.
func (p *prober) land(t *target, f, before *flight, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.err, f.finished, f.claim = err, time.Now(), nil
	close(f.done)
	if before == nil || textOf(before.err) == textOf(err) {
		return
	}
	t.changes++
	for key := range t.members {
		if r := p.runs[key]; r != nil && !r.finished.IsZero() {
			p.look(key)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// version is the version of an API server that has accepted a Secret. It is asked
// as often as the server is probed, and is what it was if that fails. One run asks
// for all, with its own Secret: if it ends before the answer, another one asks.
func (p *prober) version(ctx context.Context, namespace string, t *target, in inputs) string {
	p.mu.Lock()
	for t.version.underway() {
		f := t.version
		p.slots.want(f.claim, namespace)
		p.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return ""
		}
		p.mu.Lock()
	}
	before := t.version
	if before != nil && time.Since(before.finished) <= p.reuse(nil) {
		p.mu.Unlock()
		return before.version
	}
	c := &claim{target: t, pace: &t.paces.version, namespaces: []string{namespace}}
	f := &flight{claim: c, done: make(chan struct{})}
	t.version = f
	p.mu.Unlock()

	version := ""
	_ = p.request(ctx, c, in, func(ctx context.Context, target *probe.Target) error {
		version = target.Version(ctx, in.auth)
		return nil
	}) // without an answer the version is what it was

	p.mu.Lock()
	defer p.mu.Unlock()
	if version == "" && before != nil {
		version = before.version
	}
	f.version, f.finished, f.claim = version, time.Now(), nil
	close(f.done)
	if ctx.Err() != nil {
		t.version = before // whoever waits or is next asks anew
	}
	return version
}

// request does one request when it is its turn, and measures it.
func (p *prober) request(ctx context.Context, c *claim, in inputs, do func(context.Context, *probe.Target) error) error {
	if !p.take(ctx, c) {
		return ctx.Err()
	}
	defer p.give(c)

	target, err := p.open(c.target, in)
	if err != nil {
		return err
	}
	start := time.Now()
	err = do(ctx, target)
	end := time.Now()
	if ctx.Err() == nil {
		if c.kind != "" {
			p.metrics.observe(c.kind, end.Sub(start), err)
		}
		p.mu.Lock()
		c.pace.note(start, end)
		p.mu.Unlock()
	}
	return err
}

// open is the target with its connections. Those of targets that were not probed
// for a while are closed on the occasion.
func (p *prober) open(t *target, in inputs) (*probe.Target, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	t.used = now
	if now.Sub(p.swept) > probe.IdleTimeout/2 {
		p.swept = now
		for _, other := range p.targets {
			if other.connections != nil && now.Sub(other.used) > probe.IdleTimeout {
				other.connections.Close()
				other.connections = nil
			}
		}
	}
	if t.connections == nil {
		opened, err := probe.NewTarget(in.address, in.ca, p.options.Probes.Options)
		if err != nil {
			return nil, err
		}
		t.connections = opened
	}
	return t.connections, nil
}
