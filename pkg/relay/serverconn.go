package relay

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// watchAfter is how long a response may let itself be waited for before a
// goroutine is spent on noticing that the client has gone.
const watchAfter = 100 * time.Millisecond

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// serverConn is a connection to a server, used by one exchange at a time.
type serverConn struct {
	pool  *Pool
	conn  *tls.Conn
	raw   syscall.RawConn
	r     *bufio.Reader // reads by way of Read
	w     writer
	since time.Time // idle
	once  sync.Once

	exchange *Exchange // nil while idle or upgraded
	left     int       // of the response's head, in bytes; below 0 if it is over
	waiting  bool      // the exchange watches its client; there is no deadline
	silent   bool      // the server has not said a word
	filled   bool      // the last read got all that it could take: there may be more
}

func newServerConn(p *Pool, conn *tls.Conn) *serverConn {
	s := &serverConn{pool: p, conn: conn, w: writer{conn: conn}}
	if tcp, ok := conn.NetConn().(syscall.Conn); ok {
		s.raw, _ = tcp.SyscallConn() // without it every connection is new
	}
	s.r = bufio.NewReaderSize(s, bufferSize)
	return s
}

// usable reports whether an idle connection is still open. A server has nothing
// to say on it: what can be read is its end, or not an answer to us.
func (s *serverConn) usable() bool {
	// After its deadline a read returns what package tls has got, and nothing else.
	if s.raw == nil || s.conn.SetReadDeadline(past) != nil {
		return false
	}
	if _, err := s.r.Peek(1); !isTimeout(err) {
		return false
	}
	open := false
	// Not Read, which minds the deadline of the last exchange.
	err := s.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && open
}

func (s *serverConn) close() {
	// Not the TLS connection's: it would wait for a write that is stuck.
	s.once.Do(func() {
		_ = s.conn.NetConn().Close()
		s.pool.Counts.close()
	})
}

// errHeadTooLong: the server's fault, or its malice.
var errHeadTooLong = errors.New("the header of the response is too large")

// Read implements io.Reader for r. What the client has not been sent yet is sent
// before anything is waited for: the next event of a watch may be an hour away.
func (s *serverConn) Read(p []byte) (int, error) {
	x := s.exchange
	if x == nil {
		return s.conn.Read(p)
	}
	if s.left == 0 {
		return 0, errHeadTooLong
	}
	if s.left > 0 && len(p) > s.left {
		p = p[:s.left]
	}
	if err := x.client.w.Flush(); err != nil {
		x.abort.call()
		return 0, ErrClientGone
	}
	n, err := s.conn.Read(p)
	for isTimeout(err) {
		// Bytes of a record that are there already are kept by package tls.
		s.waiting = x.watch()
		if err = s.wait(); err == nil {
			n, err = s.conn.Read(p)
		}
	}
	if n > 0 {
		s.silent = false
	}
	s.filled = n == len(p)
	if s.left > 0 {
		s.left -= n
	}
	return n, err
}

// drained reports whether a read would most likely have to wait.
func (s *serverConn) drained() bool { return s.r.Buffered() == 0 && !s.filled }

// wait sets the deadline for reads.
func (s *serverConn) wait() error {
	if s.waiting {
		return s.conn.SetReadDeadline(time.Time{})
	}
	return s.conn.SetReadDeadline(time.Now().Add(watchAfter))
}

// roundTrip sends the request of an exchange and reads the head of its response.
func (s *serverConn) roundTrip(x *Exchange) (*http.Response, error) {
	s.exchange, s.waiting, s.silent, s.left = x, x.watching != nil, true, s.pool.ResponseHeader
	x.abort.set(s.close)
	if err := s.wait(); err != nil {
		return nil, err
	}
	if err := s.send(x); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(s.r, x.Request)
		if err != nil {
			return nil, err
		}
		switch {
		case resp.StatusCode < http.StatusContinue:
			return nil, fmt.Errorf("the server answers with the code %03d, which HTTP does not have", resp.StatusCode)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			if got := resp.Header.Get("Upgrade"); x.protocol == "" || !strings.EqualFold(got, x.protocol) {
				return nil, errors.New("the server changes to a protocol that was not asked for")
			}
		case resp.StatusCode < http.StatusOK:
			if err := x.inform(resp); err != nil {
				return nil, err
			}
			continue
		}
		s.left = -1
		return resp, nil
	}
}

// send writes the request. A body that is not there yet is written by a goroutine
// of its own: the server may answer before it has all of it.
func (s *serverConn) send(x *Exchange) error {
	req := x.Request
	if req.Body == http.NoBody || req.ContentLength > 0 && req.ContentLength <= int64(x.client.r.Buffered()) {
		err := req.Write(s.w.hold())
		if err == nil {
			x.sent = true
			err = s.w.Flush()
		}
		return err
	}
	if err := x.client.setReadDeadline(0); err != nil {
		return err
	}
	x.body = &requestBody{ended: make(chan struct{}), incoming: clientBody{ReadCloser: req.Body}}
	req.Body = &x.body.incoming
	go x.client.server.guard(func() {
		defer close(x.body.ended)
		defer x.body.finished.Store(true)
		x.body.err = errors.New("cut short") // by a bug
		x.body.err = req.Write(s.w.hold())   // which net/http flushes after the header
		if x.body.err == nil {
			x.body.err = s.w.Flush()
		}
		if x.body.incoming.err != nil {
			x.abort.call() // the client's fault; the server's shows in the response
		}
	})
	return nil
}

// release gives the connection back if it can be used again: both sides have said
// what they had to say.
func (s *serverConn) release(resp *http.Response) {
	x := s.exchange
	x.server = nil
	x.abort.set(nil)
	s.exchange = nil
	reusable := !resp.Close && !x.abort.called() && s.r.Buffered() == 0 && x.body.settled() && (x.body == nil || x.body.err == nil)
	if !reusable {
		s.close()
		return
	}
	s.pool.put(s)
}
