package proxybench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// get is the request that is repeated.
const get = "/api/v1/namespaces/bench/pods/web"

// series are figures of one proxy at one number of connections, one of each a
// round.
type series struct{ cpu, p50, p99, rss []figure }

// requestKey is what a series is of.
type requestKey struct {
	proxy       int
	connections int
}

// measureRequests measures every proxy at every number of connections, in
// turn, round by round.
func measureRequests(ctx context.Context, b *bed, p plan, proxies []proxy) ([]Requests, error) {
	all, stop, err := b.runAll(ctx, proxies)
	if err != nil {
		return nil, err
	}
	defer stop()
	measured := map[requestKey]*series{}
	for range p.rounds {
		for _, connections := range p.connections {
			for i, r := range all {
				key := requestKey{i, connections}
				if measured[key] == nil {
					measured[key] = &series{}
				}
				if err := r.load(ctx, p, connections, measured[key]); err != nil {
					return nil, fmt.Errorf("%s, %s, at %d connections: %w", r.name, r.mode, connections, err)
				}
			}
		}
	}
	return requestRows(p, all, measured), nil
}

// requestRows are the medians over the rounds.
func requestRows(p plan, all []*running, measured map[requestKey]*series) []Requests {
	index := func(name string) int {
		return slices.IndexFunc(all, func(r *running) bool { return r.name == name })
	}
	reference, other := index(haproxy), index(kubectl)
	var rows []Requests
	for i, r := range all {
		for _, connections := range p.connections {
			at := func(i int) series {
				if s := measured[requestKey{i, connections}]; s != nil {
					return *s
				}
				return series{}
			}
			s := at(i)
			rows = append(rows, Requests{
				Proxy: r.name, Mode: r.mode, Connections: connections,
				CPU: median(s.cpu), P50: median(s.p50), P99: median(s.p99),
				RSSIdle: r.idle / 1024, RSS: median(s.rss) / 1024,
				ToHAProxy: ratio(s.cpu, at(reference).cpu), toKubectl: ratio(s.cpu, at(other).cpu), p50ToHAProxy: ratio(s.p50, at(reference).p50),
			})
		}
	}
	return rows
}

// load sends requests over a number of connections, each as soon as the last is
// answered, and adds what it measured to s.
func (r *running) load(ctx context.Context, p plan, connections int, s *series) error {
	request := r.target.request(http.MethodGet, get)
	conns := make([]*conn, connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range conns {
		var err error
		if conns[i], err = r.target.dial(ctx); err != nil {
			return err
		}
		if err := conns[i].SetDeadline(time.Now().Add(p.warmUp + p.duration + patience)); err != nil {
			return err
		}
	}
	// Before the clocks start, the proxy opens its own connections.
	if _, err := repeat(ctx, conns, request, p.warmUp); err != nil {
		return err
	}
	before, err := r.cpu()
	if err != nil {
		return err
	}
	latencies, err := repeat(ctx, conns, request, p.duration)
	if err != nil {
		return err
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	rss, err := r.rss()
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	s.cpu = append(s.cpu, (after-before)/figure(len(latencies)))
	s.p50 = append(s.p50, quantile(latencies, 0.5))
	s.p99 = append(s.p99, quantile(latencies, 0.99))
	s.rss = append(s.rss, rss)
	return nil
}

// cpu is the proxy's CPU time in µs.
func (r *running) cpu() (figure, error) {
	if r.process == nil {
		return none, nil
	}
	spent, err := r.process.CPUTime()
	return microseconds(spent), err
}

// rss is the proxy's memory in bytes.
func (r *running) rss() (figure, error) {
	if r.process == nil {
		return none, nil
	}
	rss, err := r.process.RSS()
	return figure(rss), err
}

func microseconds(d time.Duration) figure { return figure(d) / figure(time.Microsecond) }

// repeat sends the request over all connections for a time, and returns how
// long each took, in µs.
func repeat(ctx context.Context, conns []*conn, request []byte, duration time.Duration) ([]figure, error) {
	latencies, errs := make([][]figure, len(conns)), make([]error, len(conns))
	end := time.Now().Add(duration)
	var clients sync.WaitGroup
	for i, c := range conns {
		clients.Go(func() {
			for now := time.Now(); now.Before(end) && errs[i] == nil; {
				began := now
				errs[i] = errors.Join(c.do(request), ctx.Err())
				now = time.Now()
				latencies[i] = append(latencies[i], microseconds(now.Sub(began)))
			}
		})
	}
	clients.Wait()
	return slices.Concat(latencies...), errors.Join(errs...)
}
