// Package admissionbench measures the admission of Pods: what planning costs, what
// a whole admission costs beside controller-runtime's ways, what it adds to the
// creation of a Pod on a real API server, and the memory of the webhook.
//
//	operations.go   planning, and admission over HTTPS
//	bed.go          an API server, and the webhook as a process beside it
//	bursts.go       Pods created through that API server
//	memory.go       the webhook with many Connectors
//	report.go       medians and ratios, table and JSON
package admissionbench

import (
	"context"
	"errors"
	"io"
	"time"
)

// plan is how much is measured.
type plan struct {
	rounds      int
	duration    time.Duration // of one measurement
	burstRounds int
	burst       int // Pods
	concurrency int
	connectors  int
}

// fullPlan has many short rounds, because how fast a machine is changes by the
// second. It takes about two minutes.
var fullPlan = plan{
	rounds: 50, duration: 50 * time.Millisecond,
	burstRounds: 9, burst: 400, concurrency: 16,
	connectors: 10_000,
}

// Measure measures all of it. It builds what is missing.
func Measure(ctx context.Context, progress io.Writer) (*Report, error) {
	return measure(ctx, progress, fullPlan)
}

func measure(ctx context.Context, progress io.Writer, p plan) (r *Report, err error) {
	r = &Report{}
	if r.Operations, err = measureOperations(ctx, progress, p); err != nil {
		return nil, err
	}
	b, err := newBed(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if r.Bursts, err = measureBursts(ctx, b, progress, p); err != nil {
		return nil, err
	}
	r.Memory, err = measureMemory(ctx, b, progress, p)
	return r, err
}
