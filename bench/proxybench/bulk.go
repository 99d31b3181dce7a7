package proxybench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// A client that reads slowly takes a piece at a tick: 6.4 MB/s.
const (
	slowPiece = 64 << 10
	slowTick  = 10 * time.Millisecond
)

// measureBulk sends one large response through every proxy, started anew: at
// first to a client that reads slowly, then in turn, round by round, to one that
// reads as fast as it can.
func measureBulk(ctx context.Context, b *bed, p plan, proxies []proxy) ([]Bulk, error) {
	all, stop, err := b.runAll(ctx, proxies)
	if err != nil {
		return nil, err
	}
	defer stop()
	rows, speeds := make([]Bulk, len(all)), make([][]figure, len(all))
	for i, r := range all {
		slow, err := r.readSlowly(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s, %s, bulk read slowly: %w", r.name, r.mode, err)
		}
		rows[i] = Bulk{Proxy: r.name, Mode: r.mode, Bytes: p.bulkBytes, RSSIdle: r.idle / 1024, RSSSlow: slow / 1024}
	}
	for range p.bulkRounds {
		for i, r := range all {
			speed, err := r.readFast(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, bulk: %w", r.name, r.mode, err)
			}
			speeds[i] = append(speeds[i], speed)
		}
	}
	reference := slices.IndexFunc(all, func(r *running) bool { return r.name == haproxy })
	for i := range rows {
		rows[i].Speed, rows[i].ToHAProxy = median(speeds[i]), none
		if reference >= 0 {
			rows[i].ToHAProxy = ratio(speeds[i], speeds[reference])
		}
	}
	return rows, nil
}

// openBulk sends the request, and reads the head of the response.
func (r *running) openBulk(ctx context.Context, p plan) (*conn, error) {
	c, err := r.target.dial(ctx)
	if err != nil {
		return nil, err
	}
	// A slow machine moves 10 MB/s.
	err = c.SetDeadline(time.Now().Add(patience + time.Duration(p.bulkBytes/10e6)*time.Second))
	var length int64
	if err == nil {
		length, err = c.head(r.target.request(http.MethodGet, fmt.Sprintf("%s/log?limitBytes=%d", get, p.bulkBytes)))
	}
	if err == nil && length >= 0 && length != p.bulkBytes {
		err = fmt.Errorf("the answer has %d bytes, not %d", length, p.bulkBytes)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// readFast is the speed in MB/s.
func (r *running) readFast(ctx context.Context, p plan) (figure, error) {
	began := time.Now()
	c, err := r.openBulk(ctx, p)
	if err != nil {
		return none, err
	}
	defer c.Close()
	buffer := make([]byte, 64<<10)
	for left := p.bulkBytes; left > 0; {
		n, err := c.r.Read(buffer[:min(left, int64(len(buffer)))])
		if err != nil {
			return none, err
		}
		left -= int64(n)
	}
	return figure(p.bulkBytes) / 1e6 / figure(time.Since(began).Seconds()), ctx.Err()
}

// readSlowly is the most memory, in bytes, that the proxy had meanwhile.
func (r *running) readSlowly(ctx context.Context, p plan) (figure, error) {
	c, err := r.openBulk(ctx, p)
	if err != nil {
		return none, err
	}
	defer c.Close()
	tick := time.NewTicker(slowTick)
	defer tick.Stop()
	buffer := make([]byte, slowPiece)
	most := none
	for range p.slow / slowTick {
		select {
		case <-ctx.Done():
			return none, ctx.Err()
		case <-tick.C:
		}
		if _, err := c.r.Read(buffer); err != nil {
			return none, err
		}
		rss, err := r.rss()
		if err != nil {
			return none, err
		}
		if most.none() || rss > most {
			most = rss
		}
	}
	return most, nil
}
