package controller

import (
	"context"
	"slices"
)

// DefaultMaxProbes is how many probes are in flight at once if the options do not
// say.
const DefaultMaxProbes = 64

// slots bound the requests that are in flight. Those of targets that are slow, or
// were not asked yet, take half of them at most, so that whatever is slow waits for
// its like and not the others for it; and one namespace takes half of that half.
// Who waits does so without holding anything. Its fields belong to prober.mu.
type slots struct {
	// most, mostSlow, perNamespace and perTarget are the bounds: of all requests, of
	// the slow ones, of those of a namespace, and of the auth probes of a target.
	most, mostSlow, perNamespace, perTarget int

	taken share
	// namespaces are those with requests in flight.
	namespaces map[string]share
	// waiting are in the order in which they came.
	waiting map[queue][]*claim
}

// queue is where a claim waits, in each of its namespaces.
type queue struct {
	namespace string
	slow      bool
}

// share is how many requests are in flight, and how many of these are slow ones.
type share struct{ all, slow int }

func (s share) plus(n int, slow bool) share {
	s.all += n
	if slow {
		s.slow += n
	}
	return s
}

// has says whether a claim waits there. It does not if it was granted for another
// namespace, or given up, or is asked again otherwise.
func (q queue) has(c *claim) bool { return c.waits && c.slow == q.slow }

// claim is a request that waits for its turn or is in flight.
type claim struct {
	target *target
	// kind is that of the probe, as metrics name it, "" if it is none.
	kind string
	// pace is that of requests of this kind.
	pace *pace
	// namespaces are those whose Connectors wait for the answer. It counts for one.
	namespaces []string

	// slow says that the target was slow, or not asked yet, when the claim was made.
	slow    bool
	waits   bool
	granted chan struct{}
	// namespace is the one that it counts for while it is in flight.
	namespace string
}

func newSlots(most int) slots {
	if most <= 0 {
		most = DefaultMaxProbes
	}
	return slots{
		most:         most,
		mostSlow:     max(1, most/2),
		perNamespace: max(1, most/4),
		perTarget:    max(1, most/8),
		namespaces:   make(map[string]share),
		waiting:      make(map[queue][]*claim),
	}
}

// room says whether a namespace may have one more in flight, and how many it has.
func (s *slots) room(q queue) (inFlight int, ok bool) {
	if s.taken.all >= s.most || q.slow && s.taken.slow >= s.mostSlow {
		return 0, false
	}
	taken := s.namespaces[q.namespace]
	return taken.all, !q.slow || taken.slow < s.perNamespace
}

// roomAt says whether the target of a claim may have one more in flight.
func (s *slots) roomAt(c *claim) bool {
	return c.kind != authProbe || c.target.auths < s.perTarget
}

// add grants a claim that there is room for, or lets it wait.
func (s *slots) add(c *claim) {
	c.granted, c.slow, c.waits = make(chan struct{}), !c.pace.quick, true
	for _, namespace := range c.namespaces {
		if _, ok := s.room(queue{namespace, c.slow}); ok && s.roomAt(c) {
			s.grant(c, namespace) // nobody who waits could have it
			return
		}
	}
	for _, namespace := range c.namespaces {
		s.enqueue(c, namespace)
	}
}

func (s *slots) enqueue(c *claim, namespace string) {
	q := queue{namespace, c.slow}
	s.waiting[q] = append(s.waiting[q], c)
}

// want says that Connectors of a namespace wait for the answer, too.
func (s *slots) want(c *claim, namespace string) {
	if slices.Contains(c.namespaces, namespace) {
		return
	}
	c.namespaces = append(c.namespaces, namespace)
	if c.waits {
		s.enqueue(c, namespace)
		s.admit()
	}
}

// admit grants what there is room for. The namespace with the fewest requests in
// flight is next, so that nobody waits for all that others want.
func (s *slots) admit() {
	for {
		var next *claim
		least, of := s.most, ""
		for q := range s.waiting {
			inFlight, ok := s.room(q)
			if !ok || inFlight >= least {
				continue
			}
			if c := s.first(q); c != nil {
				next, least, of = c, inFlight, q.namespace
			}
			if least == 0 {
				break
			}
		}
		if next == nil {
			return
		}
		s.grant(next, of)
	}
}

// first is the first claim in a queue whose target has room for it, nil if there is
// none. Those before it that do not wait there any more are dropped.
func (s *slots) first(q queue) *claim {
	claims := s.waiting[q]
	for len(claims) > 0 && !q.has(claims[0]) {
		claims = claims[1:]
	}
	if s.waiting[q] = claims; len(claims) == 0 {
		delete(s.waiting, q)
	}
	for _, c := range claims {
		if q.has(c) && s.roomAt(c) {
			return c
		}
	}
	return nil
}

func (s *slots) grant(c *claim, namespace string) {
	c.waits, c.namespace = false, namespace
	s.count(c, 1)
	close(c.granted)
}

func (s *slots) count(c *claim, n int) {
	s.taken = s.taken.plus(n, c.slow)
	if taken := s.namespaces[c.namespace].plus(n, c.slow); taken.all > 0 {
		s.namespaces[c.namespace] = taken
	} else {
		delete(s.namespaces, c.namespace)
	}
	if c.kind == authProbe {
		c.target.auths += n
	}
}

// take waits for the turn of a claim. It is false if ctx ends first.
func (p *prober) take(ctx context.Context, c *claim) bool {
	p.mu.Lock()
	p.slots.add(c)
	p.mu.Unlock()

	select {
	case <-c.granted:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := !c.waits // just now
	c.waits = false
	return taken
}

// give ends a claim that was granted.
func (p *prober) give(c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots.count(c, -1)
	p.slots.admit()
}
