package relay

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Answer sends a response to the client: that of Forward, or one of the handler's
// own, whose header is gone then. It returns when all of it is sent, or the
// connection has ended.
func (x *Exchange) Answer(resp *http.Response) {
	x.answered = true
	x.status = resp.StatusCode
	x.client.forget(x.Request)
	if resp.StatusCode == http.StatusSwitchingProtocols && x.server != nil {
		x.switchProtocols(resp)
		return
	}
	if x.server == nil {
		x.unwatch()
	}
	if x.Request != nil && (x.Request.Close || !x.bodyRead()) || x.client.server.draining.Load() {
		x.close = true
	}
	if x.server == nil && resp.Close {
		x.close = true
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if err := x.send(resp); err != nil {
		x.close = true
		x.abort.call()
		return
	}
}

// old reports whether the client speaks HTTP/1.0.
func (x *Exchange) old() bool { return x.Request != nil && !x.Request.ProtoAtLeast(1, 1) }

// inform passes an interim response on (RFC 9110 section 15.2).
func (x *Exchange) inform(resp *http.Response) error {
	if x.old() {
		return nil
	}
	stripHopByHop(resp.Header)
	delete(resp.Header, "Content-Length") // RFC 9110 section 8.6
	x.writeHead(resp)
	return x.client.w.Flush()
}

// send writes the head and the body of a response. Its error is that of either
// side.
func (x *Exchange) send(resp *http.Response) error {
	head := x.Request != nil && x.Request.Method == http.MethodHead
	bodiless := head || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	length := resp.ContentLength
	chunked := false
	switch {
	case resp.StatusCode == http.StatusNoContent:
		delete(resp.Header, "Content-Length") // RFC 9110 section 8.6
	case bodiless:
		// A length is that of the body which is not there: it is left as it is.
	case length >= 0:
		if resp.Header["Content-Length"] == nil {
			resp.Header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
		}
	case !x.old():
		chunked = true
		resp.Header["Transfer-Encoding"] = []string{"chunked"}
		if len(resp.Trailer) > 0 {
			resp.Header["Trailer"] = []string{strings.Join(trailerNames(resp), ", ")}
		}
	default:
		x.close = true // the only way to end such a body
	}
	switch {
	case x.close && !x.old(): // for which that goes without saying
		resp.Header["Connection"] = []string{"close"}
	case !x.close && x.old():
		resp.Header["Connection"] = []string{"keep-alive"} // it has asked for that
	}
	x.writeHead(resp)
	resp.Header = nil             // the body may take hours
	if !bodiless && length != 0 { // of an empty one nothing is waited for
		if err := x.sendBody(resp, chunked); err != nil {
			return err
		}
	}
	if x.server != nil {
		// Before the client has the end, and may have another request.
		x.server.release(resp)
	}
	return x.client.w.Flush()
}

func trailerNames(resp *http.Response) []string {
	names := make([]string, 0, len(resp.Trailer))
	for name := range resp.Trailer {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// writeHead writes into the buffer, whose errors show when it is flushed.
func (x *Exchange) writeHead(resp *http.Response) {
	w := &x.client.w
	if x.old() {
		_, _ = w.WriteString("HTTP/1.0 ")
	} else {
		_, _ = w.WriteString("HTTP/1.1 ")
	}
	_, _ = w.WriteString(strconv.Itoa(resp.StatusCode))
	_ = w.WriteByte(' ')
	_, _ = w.WriteString(http.StatusText(resp.StatusCode)) // not the server's phrase, which may hold anything
	_, _ = w.WriteString("\r\n")
	_ = resp.Header.Write(w)
	_, _ = w.WriteString("\r\n")
}

func (x *Exchange) sendBody(resp *http.Response, chunked bool) error {
	w := &x.client.w
	if !chunked {
		return x.copyBody(w, resp.Body)
	}
	chunks := httputil.NewChunkedWriter(w)
	if err := x.copyBody(chunks, resp.Body); err != nil {
		return err
	}
	if err := chunks.Close(); err != nil {
		return err
	}
	if err := resp.Trailer.Write(w); err != nil {
		return err
	}
	_, err := w.WriteString("\r\n")
	return err
}

// copyBody copies a body as it comes. A buffer is held only while there is something
// to put into it: a watch may wait for an hour.
func (x *Exchange) copyBody(w io.Writer, body io.Reader) error {
	for {
		if x.server != nil && x.server.drained() {
			_, _ = x.server.r.Peek(1) // its error is the next one of body
		}
		n, err := x.copySome(w, body)
		x.bytes += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (x *Exchange) copySome(w io.Writer, body io.Reader) (int, error) {
	buffers := &copyBuffers
	if x.server != nil && x.server.r.Buffered() > 0 {
		buffers = &smallBuffers // for what is there
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	n, err := body.Read(*buffer)
	if n > 0 {
		if _, err := w.Write((*buffer)[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}

// copySize is the most that a TLS record holds (RFC 8446 section 5.1).
const copySize = 16 << 10

// copyBuffers have room for a TLS record; smallBuffers, for what a bufio.Reader has.
var (
	copyBuffers  = sync.Pool{New: func() any { return newBuffer(copySize) }}
	smallBuffers = sync.Pool{New: func() any { return newBuffer(bufferSize) }}
)

func newBuffer(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// maxDiscard is how much of a response is read that nobody wants, so that the
// connection can be used again.
const maxDiscard = 64 << 10

// Discard reads a response that is not to be answered with, so that its connection
// can be used again, or gives it up if it is large.
func (x *Exchange) Discard(resp *http.Response) {
	if _, err := io.CopyN(io.Discard, resp.Body, maxDiscard); !errors.Is(err, io.EOF) {
		resp.Close = true // there is more
	}
	x.server.release(resp)
}
