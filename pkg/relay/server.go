package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what a client can use up. A request has no bound in time: watches
// and logs may last.
type Limits struct {
	// RequestHeader is how long a request's line and header may be, in bytes.
	RequestHeader int
	// HeaderLines is how many lines it may have: in memory, short ones are many
	// times their length.
	HeaderLines int
	// LargeHeaders is how many requests may have, at the same time, a header that is
	// over 4 KiB or not there at once, and no answer yet. Further ones wait.
	LargeHeaders int
	// HeaderTimeout bounds the TLS handshake, and the reading of a header once
	// it has begun.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout time.Duration
}

// Server serves the connections of clients.
type Server struct {
	Limits Limits
	// Refuse makes the answer to what is not a request: a code of 400 or above
	// and, for a person, what is wrong.
	Refuse func(code int, message string) *http.Response
	// Log gets what is a bug.
	Log *slog.Logger

	once     sync.Once
	large    chan struct{} // has an element for each large header
	draining atomic.Bool

	mu      sync.Mutex
	clients map[*client]struct{}
	ended   chan struct{} // closed when draining and there are no clients
}

// Handler handles one request: it answers it, or forwards it and answers with the
// response. If it does neither, the connection is closed.
type Handler func(*Exchange)

// ServeConn serves a client until its connection ends, and closes it. The TLS
// handshake is made here.
func (s *Server) ServeConn(conn *tls.Conn, handle Handler) {
	s.once.Do(func() { s.large = make(chan struct{}, s.Limits.LargeHeaders) })
	c := newClient(s, conn)
	if !s.add(c) {
		c.close()
		return
	}
	defer s.remove(c)
	defer c.close()
	s.guard(func() { c.serve(handle) })
}

// guard lets a bug in one request not end the others.
func (s *Server) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error(fmt.Sprintf("panic serving a request: %v", p), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// handshake makes a TLS handshake in a goroutine of its own: the memory that it
// takes for its stack goes with it.
func (s *Server) handshake(ctx context.Context, conn *tls.Conn) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("cut short") // by a bug
		s.guard(func() { err = conn.HandshakeContext(ctx) })
		done <- err
	}()
	return <-done
}

func (s *Server) add(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if s.clients == nil {
		s.clients = make(map[*client]struct{})
	}
	s.clients[c] = struct{}{}
	return true
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if s.ended != nil && len(s.clients) == 0 {
		close(s.ended)
	}
}

// ErrCut says that requests had to be cut off.
var ErrCut = errors.New("requests were cut off")

// Shutdown closes connections that wait for a request, lets requests and streams
// finish until ctx is done, cuts off what is left, and returns when nothing is. It
// must be called once. The error is ErrCut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	s.ended = make(chan struct{})
	if len(s.clients) == 0 {
		close(s.ended)
	}
	for c := range s.clients {
		c.endIfIdle()
	}
	s.mu.Unlock()

	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.clients {
		c.cut()
	}
	s.mu.Unlock()
	<-s.ended
	return ErrCut
}
