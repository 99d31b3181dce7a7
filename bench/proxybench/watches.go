package proxybench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// openers is how many watches are opened at a time.
const openers = 16

// measureWatches opens watches through each proxy in turn, started anew, and
// sends events to them and to as many watches without a proxy, in turn. A proxy
// that does not take them gets a row that says so.
func measureWatches(ctx context.Context, b *bed, p plan, proxies []proxy) ([]Watches, error) {
	_, straight, err := startDirect(ctx, b)
	if err != nil {
		return nil, err
	}
	reference, err := openWatches(ctx, straight, straight, p.watches, direct)
	defer reference.close()
	if err != nil {
		return nil, fmt.Errorf("watches without a proxy: %w", err)
	}
	var rows []Watches
	for _, proxy := range proxies {
		if proxy.name == direct {
			continue
		}
		r, err := b.run(ctx, proxy)
		if err != nil {
			return nil, err
		}
		row, err := r.watch(ctx, p, straight, reference)
		r.stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil {
			row.Error = err.Error()
		}
		rows = append(rows, row)
	}
	i := slices.IndexFunc(rows, func(w Watches) bool { return w.Proxy == haproxy })
	for j := range rows {
		rows[j].ToHAProxy = none
		if i >= 0 {
			rows[j].ToHAProxy = rows[j].RSSEach / rows[i].RSSEach
		}
	}
	return rows, nil
}

// watch measures one proxy.
func (r *running) watch(ctx context.Context, p plan, straight *target, reference *watches) (Watches, error) {
	row := Watches{
		Proxy: r.name, Mode: r.mode, Watches: p.watches, RSSIdle: r.idle / 1024,
		RSS: none, RSSEach: none, Event: none, ToDirect: none,
	}
	opened, err := openWatches(ctx, r.target, straight, p.watches, "proxied")
	defer opened.close()
	if err != nil {
		return row, err
	}
	rss, err := r.process.SettledRSS(ctx)
	if err != nil {
		return row, err
	}
	row.RSS = figure(rss) / 1024
	row.RSSEach = (row.RSS - row.RSSIdle) / figure(p.watches)
	var proxied, plain []figure
	for i := range p.events + 1 {
		took, err := opened.event(ctx)
		if err != nil {
			return row, err
		}
		tookPlain, err := reference.event(ctx)
		if err != nil {
			return row, err
		}
		if i > 0 { // the first warms up
			proxied, plain = append(proxied, took), append(plain, tookPlain)
		}
	}
	row.Event, row.ToDirect = median(proxied)/1000, ratio(proxied, plain)
	return row, nil
}

// watches are open watches of one namespace.
type watches struct {
	conns   []*conn
	wanted  int
	control *conn // to the server itself
	trigger []byte
	arrived atomic.Int64
	all     chan time.Time // when the last watch has got an event
	failed  chan error
}

// openWatches opens watches through a target. What it returns is to be closed
// even if it fails.
func openWatches(ctx context.Context, t, straight *target, count int, namespace string) (*watches, error) {
	path := "/api/v1/namespaces/" + namespace + "/pods"
	w := &watches{wanted: count, trigger: straight.request(http.MethodPost, path), all: make(chan time.Time, 1), failed: make(chan error, 1)}
	request := t.request(http.MethodGet, path+"?watch=1")
	var err error
	if w.control, err = straight.dial(ctx); err != nil {
		return w, err
	}
	var (
		group sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex // of what follows
	)
	for range openers {
		group.Go(func() {
			for next.Add(1) <= int64(count) {
				c, e := openWatch(ctx, t, request)
				mu.Lock()
				if e == nil {
					w.conns = append(w.conns, c)
				} else if err == nil {
					err = fmt.Errorf("%d of %d watches were opened, then: %w", len(w.conns), count, e)
					next.Store(int64(count)) // no more
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if err != nil {
		return w, err
	}
	for _, c := range w.conns {
		go w.follow(c)
	}
	return w, nil
}

func openWatch(ctx context.Context, t *target, request []byte) (*conn, error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	_, err = c.head(request)
	// Watches are idle, from here on.
	if err = errors.Join(err, c.SetDeadline(time.Time{})); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// follow counts the events of a watch until it is closed. Events are lines,
// whatever the framing around them.
func (w *watches) follow(c *conn) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			select {
			case w.failed <- fmt.Errorf("a watch has ended: %w", err):
			default: // one is enough
			}
			return
		}
		if bytes.HasPrefix(line, []byte(`{"type":`)) && w.arrived.Add(1) == int64(w.wanted) {
			w.all <- time.Now()
		}
	}
}

// event is how long, in µs, an event takes from the request that makes it to
// the last watch.
func (w *watches) event(ctx context.Context) (figure, error) {
	w.arrived.Store(0)
	if err := w.control.SetDeadline(time.Now().Add(patience)); err != nil {
		return none, err
	}
	began := time.Now()
	if err := w.control.do(w.trigger); err != nil {
		return none, err
	}
	select {
	case last := <-w.all:
		return microseconds(last.Sub(began)), nil
	case err := <-w.failed:
		return none, err
	case <-time.After(patience):
		return none, fmt.Errorf("%d of %d watches got an event within %s", w.arrived.Load(), w.wanted, patience)
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (w *watches) close() {
	for _, c := range append(w.conns, w.control) {
		if c != nil {
			c.Close()
		}
	}
}
