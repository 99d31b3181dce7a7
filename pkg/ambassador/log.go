package ambassador

import (
	"bytes"
	"log"
	"log/slog"
)

// serverLog is the ErrorLog of a server of net/http. What it says is mostly about
// clients that went away.
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
