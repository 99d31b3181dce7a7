package controller

import "context"

// DefaultMaxProbes is how many probes are in flight at once if the options do not
// say.
const DefaultMaxProbes = 64

// slots bound the probes that are in flight. Those of targets that are slow, or were
// not asked yet, take half of them at most, so that whatever is slow waits for its
// like and not the others for it.
type slots struct {
	all, slow chan struct{}
	// perTarget is how many auth probes one target gets at once.
	perTarget int
}

func newSlots(most int) slots {
	if most <= 0 {
		most = DefaultMaxProbes
	}
	return slots{
		all:       make(chan struct{}, most),
		slow:      make(chan struct{}, max(1, most/2)),
		perTarget: max(1, most/8),
	}
}

// take takes a place in each, in order, or in none if ctx ends first.
func take(ctx context.Context, places ...chan struct{}) (release func(), ok bool) {
	for i, place := range places {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			leave(places[:i])
			return nil, false
		}
	}
	return func() { leave(places) }, true
}

func leave(places []chan struct{}) {
	for _, place := range places {
		<-place
	}
}
