package relay

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClientGone says that a request was given up because its client went away, or
// because the Server was shut down.
var ErrClientGone = errors.New("the client is gone")

// ErrMalformedBody says that a request was given up because its body is not framed
// as HTTP/1.1 has it.
var ErrMalformedBody = errors.New("the body of the request is malformed")

// Exchange is a request and its answer.
type Exchange struct {
	// Request is as the client sent it, but for the Host header, which is
	// Request.Host. It is nil where what came was none. Its Header is gone once
	// there is an answer: requests that are answered for hours are many.
	Request *http.Request

	client   *client
	protocol string      // that the client wants to change to
	server   *serverConn // on which the response is read
	answered bool
	close    bool // the client's connection, after the answer
	status   int
	bytes    int64

	body     *requestBody // nil if none is on its way
	sent     bool         // the body is with the server, without having been on its way
	watching chan struct{}
	abort    abort
}

// Status is the code that the client was answered with, 0 if it was not.
func (x *Exchange) Status() int { return x.status }

// Bytes is how many bytes of a response body the client was sent.
func (x *Exchange) Bytes() int64 { return x.bytes }

// run has the request handled. It reports whether the connection can have another
// one.
func (x *Exchange) run(handle Handler) bool {
	returned := false
	defer func() {
		if !returned { // it panics
			x.answered = false
			x.end()
		}
	}()
	handle(x)
	returned = true
	return x.end()
}

// end finishes what the handler has left. It reports whether the connection can
// have another request.
func (x *Exchange) end() bool {
	if x.server != nil {
		x.server.close() // its response was not read to the end
	}
	x.unwatch()
	x.client.forget(x.Request)
	again := x.answered && !x.close && !x.abort.called()
	if x.answered && x.close && (x.Request == nil || !x.bodyRead()) {
		x.client.linger()
	}
	if !again {
		x.body.cancel(x.client)
	}
	return again
}

// abort ends what an exchange waits for on the way to the server.
type abort struct {
	mu   sync.Mutex
	done bool
	stop func()
}

// set says how to end it. If it is to be ended already, it is now.
func (a *abort) set(stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stop = stop
	if a.done && stop != nil {
		stop()
	}
}

func (a *abort) call() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = true
	if a.stop != nil {
		a.stop()
	}
}

func (a *abort) called() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done
}

// reason is the error of an exchange that was aborted.
func (x *Exchange) reason() error {
	if x.body != nil && x.body.done() {
		err := x.body.incoming.err
		if err != nil && !isNetwork(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return ErrMalformedBody
		}
	}
	return ErrClientGone
}

// watch starts to notice when the client goes away. It reports whether that is
// so: while a request body is on its way, whoever reads that will notice.
func (x *Exchange) watch() bool {
	if x.watching != nil {
		return true
	}
	if !x.body.done() {
		return false
	}
	if x.client.setReadDeadline(0) != nil {
		x.abort.call() // cut off already
		return true
	}
	done := make(chan struct{})
	x.watching = done
	if x.client.r.Buffered() > 0 { // the next request: the client does not wait
		close(done)
		return true
	}
	if x.Request.Body == http.NoBody { // else the body holds it, too
		x.client.r = nil
	}
	go func() {
		defer close(done)
		if err := x.client.in.lookAhead(); err != nil && !isTimeout(err) {
			x.abort.call()
		}
	}()
	return true
}

// unwatch ends watch, so that r can be read from again.
func (x *Exchange) unwatch() {
	if x.watching == nil {
		return
	}
	_ = x.client.conn.SetReadDeadline(past) // of a broken connection, reads end anyway
	<-x.watching
	x.watching = nil
	if x.client.r == nil {
		x.client.r = bufio.NewReaderSize(&x.client.in, bufferSize)
	}
}

// bodyRead reports whether the request has been read to its end, after which the
// next may come. A body that nobody wanted is not waited for.
func (x *Exchange) bodyRead() bool {
	switch {
	case x.body != nil:
		return x.body.settled() && x.body.err == nil
	case x.sent || x.Request.Body == http.NoBody:
		return true
	case x.Request.ContentLength < 0 || x.Request.ContentLength > int64(x.client.r.Buffered()):
		return false
	}
	x.sent = true // or as good as
	_, err := io.Copy(io.Discard, x.Request.Body)
	return err == nil
}

// settleTimeout is how long the end of a body may take to reach the server that
// has answered already.
const settleTimeout = 100 * time.Millisecond

// requestBody is a request body on its way to the server, in a goroutine of its
// own.
type requestBody struct {
	incoming clientBody
	finished atomic.Bool
	ended    chan struct{}
	err      error // set before finished
}

func (b *requestBody) done() bool { return b == nil || b.finished.Load() }

// settled is done, but for a body of which the client has sent all: the goroutine
// may be slower than the answer.
func (b *requestBody) settled() bool {
	if b.done() {
		return true
	}
	if !b.incoming.complete.Load() {
		return false
	}
	select {
	case <-b.ended:
		return true
	case <-time.After(settleTimeout):
		return false
	}
}

// cancel ends the goroutine with the client's connection.
func (b *requestBody) cancel(c *client) {
	if b != nil && !b.done() {
		c.cut()
		<-b.ended
	}
}

// clientBody remembers how the client's part ended.
type clientBody struct {
	io.ReadCloser
	complete atomic.Bool
	err      error
}

// Close implements io.Closer. net/http's would read what is left, and hide what is
// wrong with it.
func (b *clientBody) Close() error { return nil }

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.complete.Store(true)
	case err != nil:
		b.err = err
	}
	return n, err
}
