package controller

import (
	"math/rand/v2"
	"time"
)

// Schedule says how often a Connector is looked at when nothing changes in this
// cluster: its target may change without a word.
type Schedule struct {
	// Classes is the least time between two writes of how many Connectors are of a
	// class.
	Classes time.Duration
	// Ready is the period while the Connector is ready.
	Ready time.Duration
	// Failing is the period while it is not, for the first FailingFor: somebody
	// is probably mending it and watching.
	Failing    time.Duration
	FailingFor time.Duration
	// Failed is the period after that.
	Failed time.Duration
	// Consumers is the least time between two writes of status.consumers.
	Consumers time.Duration
}

// DefaultSchedule is the schedule that the controller runs by.
func DefaultSchedule() Schedule {
	return Schedule{
		Classes:    30 * time.Second,
		Ready:      5 * time.Minute,
		Failing:    10 * time.Second,
		FailingFor: 5 * time.Minute,
		Failed:     time.Minute,
		Consumers:  30 * time.Second,
	}
}

// Next is how long to wait until the next look at a Connector that is ready, or
// that has not been for a while. It is off by up to a tenth, so that Connectors
// that came in together drift apart.
func (s Schedule) Next(ready bool, failingFor time.Duration) time.Duration {
	period := s.Failed
	switch {
	case ready:
		period = s.Ready
	case failingFor < s.FailingFor:
		period = s.Failing
	}
	return period - period/10 + rand.N(period/5+1) //nolint:gosec // jitter need not be hard to guess
}
