// Package proxybench measures the sidecar as a proxy beside other proxies: what
// a request costs, what an idle watch costs, and how fast it moves bulk.
//
// A run makes a bed: an upstream server, certificates and configurations. Each
// proxy is a process of its own on it, and the client is this process. All are
// measured in turn, round by round, because how fast a machine is changes by
// the minute: ratios within a round are what counts, and their medians are
// reported.
//
//	bed.go                   what all proxies share
//	proxies.go, peers.go     how each is started and configured
//	client.go                the client
//	requests.go, watches.go, bulk.go   the three measurements
//	figures.go, report.go, plot.go     medians and ratios; table and JSON; SVG
package proxybench

import (
	"context"
	"fmt"
	"io"
	"time"
)

// plan is how much is measured.
type plan struct {
	rounds      int
	duration    time.Duration // of one measurement
	warmUp      time.Duration // before each
	connections []int
	watches     int
	events      int
	bulkRounds  int
	bulkBytes   int64
	slow        time.Duration // how long a client reads slowly
}

// fullPlan takes about four minutes on two cores.
var fullPlan = plan{
	rounds: 5, duration: time.Second, warmUp: 200 * time.Millisecond, connections: []int{1, 16, 64},
	watches: 1000, events: 11,
	bulkRounds: 3, bulkBytes: 1 << 30, slow: 2 * time.Second,
}

// Measure measures all proxies. It installs and builds what is missing.
func Measure(ctx context.Context, progress io.Writer) (*Report, error) {
	kubectl, err := install(ctx, progress)
	if err != nil {
		return nil, err
	}
	return measure(ctx, progress, fullPlan, proxies(kubectl))
}

func measure(ctx context.Context, progress io.Writer, p plan, proxies []proxy) (*Report, error) {
	b, err := newBed(ctx)
	if err != nil {
		return nil, err
	}
	defer b.close()
	r := &Report{}
	fmt.Fprintf(progress, "measuring requests through %d proxies, %d rounds\n", len(proxies), p.rounds)
	if r.Requests, err = measureRequests(ctx, b, p, proxies); err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "measuring %d watches through each\n", p.watches)
	if r.Watches, err = measureWatches(ctx, b, p, proxies); err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "measuring %d MiB through each, %d rounds\n", p.bulkBytes>>20, p.bulkRounds)
	r.Bulk, err = measureBulk(ctx, b, p, proxies)
	return r, err
}
