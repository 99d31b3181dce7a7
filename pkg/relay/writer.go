package relay

import (
	"bufio"
	"io"
	"sync"
)

// writer collects what is written to a connection until Flush. It holds a buffer
// only while there is something in it: of a thousand watches, few have something
// to say. After an error, the connection returns it again by itself.
type writer struct {
	conn   io.Writer
	buffer *bufio.Writer // nil while there is nothing in it
}

var writeBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferSize) }}

// hold is the buffer, until the next Flush.
func (w *writer) hold() *bufio.Writer {
	if w.buffer == nil {
		w.buffer = writeBuffers.Get().(*bufio.Writer)
		w.buffer.Reset(w.conn)
	}
	return w.buffer
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) { return w.hold().Write(p) }

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) { return w.hold().WriteString(s) }

// WriteByte implements io.ByteWriter: to a writer without it, net/http writes
// through a buffer of its own.
func (w *writer) WriteByte(b byte) error { return w.hold().WriteByte(b) }

// Flush sends what was written.
func (w *writer) Flush() error {
	if w.buffer == nil {
		return nil
	}
	err := w.buffer.Flush()
	w.buffer.Reset(nil)
	writeBuffers.Put(w.buffer)
	w.buffer = nil
	return err
}
