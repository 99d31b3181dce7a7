package admissionbench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// The handler that others are compared with.
const empty = "http-empty"

var options = inject.Options{Image: "sidecar:bench"}

// operation is something that is done again and again.
type operation struct {
	name  string
	bound string
	do    func() error
}

// measureOperations measures all of them in turn, round by round.
func measureOperations(ctx context.Context, progress io.Writer, p plan) ([]Operation, error) {
	operations, stop, err := newOperations(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	fmt.Fprintf(progress, "measuring planning and admission, %d rounds\n", p.rounds)
	took := make(map[string][]float64)
	allocations := make(map[string][]float64)
	for round := range p.rounds + 1 {
		for _, o := range operations {
			ns, allocs, err := repeat(o.do, p.duration)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.name, err)
			}
			if round > 0 { // the first one warms up
				took[o.name] = append(took[o.name], ns)
				allocations[o.name] = append(allocations[o.name], allocs)
			}
		}
	}
	rows := make([]Operation, 0, len(operations))
	for _, o := range operations {
		rows = append(rows, Operation{
			Name: o.name, NS: median(took[o.name]), Allocations: median(allocations[o.name]),
			Ratio: ratio(took[o.name], took[empty]), bound: o.bound,
		})
	}
	return rows, nil
}

// repeat does something for a while. Allocations are those of the process, so
// with HTTP they are the client's too.
func repeat(do func() error, duration time.Duration) (ns, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	times := 0
	for times == 0 || time.Since(start) < duration {
		for range 10 {
			if err := do(); err != nil {
				return 0, 0, err
			}
		}
		times += 10
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return float64(took) / float64(times), float64(after.Mallocs-before.Mallocs) / float64(times), nil
}

func newOperations(ctx context.Context) (operations []operation, stop func(), err error) {
	metrics, err := webhook.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, nil, err
	}
	ours := &webhook.Injector{Cache: reviews.Reader{}, Live: reviews.Reader{}, Options: options, Injection: v1alpha1.InjectionEnabled, Metrics: metrics}
	diff, err := reviews.Diff(ctx, ours)
	if err != nil {
		return nil, nil, err
	}
	ordinary, err := reviews.Pod()
	if err != nil {
		return nil, nil, err
	}
	large, err := reviews.LargePod()
	if err != nil {
		return nil, nil, err
	}
	operations = []operation{
		{"plan-1", "21 µs", planning(ordinary, "k8s-connector")},
		{"plan-5x20", "60 µs", planning(large, "one", "two", "three", "four", "five")},
	}
	var servers []reviews.Server
	for _, h := range []struct {
		name, bound string
		handler     http.Handler
	}{
		{empty, "", reviews.Empty()},
		{"http-empty-plain", "", reviews.EmptyPlain()},
		{"http-ours", "1.5", ours},
		{"http-controller-runtime-diff", "", diff},
	} {
		server := reviews.Serve(h.handler)
		servers = append(servers, server)
		operations = append(operations, operation{h.name, h.bound, func() error { return server.Post(ctx) }})
	}
	return operations, func() {
		for _, server := range servers {
			server.Close()
		}
	}, nil
}

// planning is all of an injection but HTTP and JSON.
func planning(pod *corev1.Pod, names ...string) func() error {
	connectors := make([]*v1alpha1.Connector, 0, len(names))
	for _, name := range names {
		connectors = append(connectors, reviews.Connector(name))
	}
	return func() error {
		request, err := inject.ReadRequest(pod, inject.Namespace{Name: reviews.Namespace, Injection: v1alpha1.InjectionEnabled})
		if err != nil {
			return err
		}
		_, err = inject.Plan(pod, request, connectors, options)
		return err
	}
}
