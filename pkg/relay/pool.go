package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Pool keeps connections to one server. Its fields must not change once it is
// used.
type Pool struct {
	// Address is the server's host:port.
	Address string
	// TLS is how its certificate is verified.
	TLS *tls.Config
	// DialTimeout bounds the connection and the TLS handshake.
	DialTimeout time.Duration
	// IdleTimeout is how long a connection is kept that nobody uses. It should be
	// shorter than the server's.
	IdleTimeout time.Duration
	// MaxIdle is how many of them are kept.
	MaxIdle int
	// ResponseHeader is how long a response's line and header may be, in bytes.
	ResponseHeader int
	// Counts is where its connections are counted, if it is set.
	Counts *Counts

	mu     sync.Mutex
	idle   []*serverConn // the one used last is the last
	closed bool
	timer  *time.Timer // runs while there are idle connections
}

// get is a connection to the server, and whether it was used before.
func (p *Pool) get(x *Exchange, fresh bool) (conn *serverConn, reused bool, err error) {
	for !fresh {
		conn := p.pop()
		if conn == nil {
			break
		}
		if conn.usable() {
			return conn, true, nil
		}
		conn.close()
	}
	conn, err = p.dial(x)
	return conn, false, err
}

func (p *Pool) pop() *serverConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	conn := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return conn
}

// put takes back a connection whose response was read to its end.
func (p *Pool) put(conn *serverConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.MaxIdle {
		conn.close()
		return
	}
	conn.since = time.Now()
	p.idle = append(p.idle, conn)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.IdleTimeout, p.expire)
	}
}

// expire closes the connections that have been idle for too long.
func (p *Pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].since) >= p.IdleTimeout {
		p.idle[old].close()
		old++
	}
	p.idle = append(p.idle[:0:0], p.idle[old:]...)
	p.timer = nil
	if len(p.idle) > 0 && !p.closed {
		p.timer = time.AfterFunc(time.Until(p.idle[0].since.Add(p.IdleTimeout)), p.expire)
	}
}

// Close closes the connections that nobody uses, now, and others when their
// responses have ended.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range p.idle {
		conn.close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}

// dial makes a connection, unless the client goes away before.
func (p *Pool) dial(x *Exchange) (*serverConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.DialTimeout)
	defer cancel()
	x.abort.set(cancel)
	defer x.abort.set(nil)
	x.watch()
	defer x.unwatch() // a body is read next, maybe
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, p.TLS)
	if err := x.client.server.handshake(ctx, secured); err != nil {
		return nil, errors.Join(err, ignoreClosed(conn.Close()))
	}
	p.Counts.open()
	return newServerConn(p, secured), nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Forward sends the request to the server of the pool and returns the head of its
// response, for Answer. What a proxy must not pass on (RFC 9110 section 7.6.1) is
// gone from the request before rewrite, which may change it further, and from the
// response.
//
// A request without a body may be sent twice, if the connection turns out to have
// been closed by the server. The error is ErrClientGone, ErrMalformedBody, or that of
// the connection.
func (x *Exchange) Forward(p *Pool, rewrite func(*http.Request)) (*http.Response, error) {
	req := x.Request
	x.protocol = ""
	if req.Body == http.NoBody { // else what follows it is not the new protocol yet
		x.protocol = requestedProtocol(req.Header)
	}
	trailers := wantsTrailers(req.Header)
	stripHopByHop(req.Header)
	if x.protocol != "" {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", x.protocol)
	}
	if trailers {
		req.Header.Set("Te", "trailers")
	}
	if _, named := req.Header["User-Agent"]; !named {
		req.Header["User-Agent"] = nil // or Request.Write would add one of Go's
	}
	req.Trailer = nil // who decides on the header does not see what comes after the body
	if req.Close {
		x.close, req.Close = true, false // what the client wants of us, not we of the server
	}
	rewrite(req)
	for fresh := false; ; fresh = true {
		conn, reused, err := p.get(x, fresh)
		if err == nil {
			var resp *http.Response
			resp, err = conn.roundTrip(x)
			if err == nil {
				x.server = conn
				stripResponse(resp)
				return resp, nil
			}
			conn.close()
			if reused && conn.silent && x.replayable() && !x.abort.called() {
				p.Counts.retry()
				continue
			}
		}
		if x.abort.called() {
			err = x.reason()
		}
		return nil, err
	}
}

// replayable reports whether a request may be sent again if the server has not
// said a word (RFC 9110 section 9.2.2). An upgrade may not: exec is a GET.
func (x *Exchange) replayable() bool {
	switch x.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return x.Request.Body == http.NoBody && x.protocol == ""
	}
	return false
}
