// Package controllerbench measures the controller with many Connectors, as a
// process of its own, on a real API server and with the rights that config/rbac
// gives it: until all are Ready, while nothing happens, when Secrets change, and
// after a restart.
//
//	bed.go       an API server, the targets, and the controller beside them
//	objects.go   Connectors and their Secrets
//	statuses.go  when a Connector became Ready, or stopped being so
//	requests.go  what the controller asks of the API server and of the targets
//	phase.go     what it uses meanwhile
//	report.go    table and JSON
package controllerbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/kube-connector/kube-connector/bench/proc"
)

// Connectors is how many the controller is for.
const Connectors = 10_000

// plan is how much is measured.
type plan struct {
	connectors, namespaces, targets int
	settle                          time.Duration // between all Ready and nothing going on
	steady                          time.Duration
	changes                         int // of Secrets: half of them to a bad token, half back
}

// fullPlan looks at the steady state for a whole period of the default schedule,
// in which each Connector is probed once. It takes ten minutes.
func fullPlan(connectors int) plan {
	return plan{
		connectors: connectors, namespaces: max(1, connectors/10), targets: 50,
		settle: 45 * time.Second, steady: 5 * time.Minute, changes: 400,
	}
}

// Measure measures all of it, with so many Connectors. It builds what is missing.
func Measure(ctx context.Context, progress io.Writer, connectors int) (*Report, error) {
	return measure(ctx, progress, fullPlan(connectors))
}

func measure(ctx context.Context, progress io.Writer, p plan) (r *Report, err error) {
	r = &Report{Connectors: p.connectors, Namespaces: p.namespaces, Targets: p.targets, Processors: runtime.NumCPU()}
	if r.LoadBefore, err = proc.LoadAverage(); err != nil {
		return nil, err
	}
	b, err := newBed(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	fmt.Fprintf(progress, "creating %d Connectors in %d namespaces\n", p.connectors, p.namespaces)
	before, err := proc.MachineCPUTime()
	if err != nil {
		return nil, err
	}
	if err := b.create(ctx, p); err != nil {
		return nil, err
	}
	after, err := proc.MachineCPUTime()
	if err != nil {
		return nil, err
	}
	r.Creating = (after.Together - before.Together).Seconds()
	fmt.Fprintf(progress, "creating them took %.0f s of CPU\n", r.Creating)
	s, err := b.follow(ctx)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := b.phases(ctx, progress, p, s, r); err != nil {
		return nil, fmt.Errorf("%w; the controller says: %s", err, b.lastWords())
	}
	r.LoadAfter, err = proc.LoadAverage()
	return r, err
}

// phases measures one after the other.
func (b *bed) phases(ctx context.Context, progress io.Writer, p plan, s *statuses, r *Report) error {
	for _, phase := range []struct {
		name string
		do   func() error
	}{
		{"start", func() error {
			if err := b.start(ctx); err != nil {
				return err
			}
			return s.awaitAllReady(ctx, p.connectors)
		}},
		{"settling", func() error { return pause(ctx, p.settle) }},
		{"steady", func() error { return pause(ctx, p.steady) }},
		{"changes", func() (err error) {
			r.Changes, err = b.changeSecrets(ctx, s, p)
			return err
		}},
		{"restart", func() error {
			b.controller.Stop()
			if err := b.start(ctx); err != nil {
				return err
			}
			return b.awaitLookedAt(ctx, p.connectors)
		}},
	} {
		fmt.Fprintf(progress, "measuring: %s\n", phase.name)
		figures, err := b.measure(ctx, phase.name, phase.do)
		if err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		r.Phases = append(r.Phases, figures)
		fmt.Fprintf(progress, "%s took %.1f s; RSS %.1f MB\n", phase.name, figures.Seconds, figures.RSS)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
