package ambassador

import (
	"bufio"
	"bytes"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// recorder remembers what the log line of a request needs.
type recorder struct {
	replayWriter
	ctx    context.Context //nolint:containedctx // lives as long as the request
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(code int) {
	w.status = code
	w.replayWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (w *recorder) Write(p []byte) (int, error) {
	n, err := w.replayWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Hijack implements http.Hijacker. ReverseProxy writes the answer to an upgrade
// itself. When the request is cut off, ReverseProxy closes the connection to
// the server only, and would wait for a client that keeps its half open.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	conn, rw, err := w.replayWriter.Hijack()
	if err == nil {
		context.AfterFunc(w.ctx, func() { conn.Close() })
	}
	return conn, rw, err
}

// copyBuffers are the buffers through which responses are copied.
var copyBuffers bufferPool

// bufferPool implements httputil.BufferPool. A watch holds its buffer as long
// as it lasts, so buffers are no larger than a TLS record.
type bufferPool struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 16<<10)
}

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }

// serverLog is the ErrorLog of a server or proxy of net/http. What it says is
// mostly about clients that went away.
func serverLog(l *slog.Logger) *log.Logger {
	return log.New(serverLogWriter{l}, "", 0)
}

type serverLogWriter struct{ log *slog.Logger }

// Write implements io.Writer.
func (w serverLogWriter) Write(p []byte) (int, error) {
	message := string(bytes.TrimSpace(p))
	if bytes.Contains(p, []byte("panic serving")) {
		w.log.Error(message) // a bug: the process goes on, but somebody should know
	} else {
		w.log.Debug(message)
	}
	return len(p), nil
}
