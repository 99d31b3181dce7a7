package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// readTimeout ends handshakes and requests that do not arrive: that takes an API
	// server milliseconds.
	readTimeout = 10 * time.Second
	// answerTimeout is the longest that any API server waits for an answer
	// (timeoutSeconds of a webhook is 30 at most).
	answerTimeout = 30 * time.Second
	// idleTimeout is longer than the 90 s after which the API server gives up a
	// connection: if both gave up at the same time, a request could meet the
	// closing of its connection, and its Pod would be refused.
	idleTimeout = 3 * time.Minute
	// shutdownTimeout is longer than any API server waits for an answer.
	shutdownTimeout = 15 * time.Second
)

// server serves admission over TLS. It is a runnable of the manager, which starts
// it when the caches are synced and stops them after it.
type server struct {
	address        string
	handler        http.Handler
	getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	drain          time.Duration

	listening, draining atomic.Bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// serves.
func (*server) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. Told to end, it goes on for a while, until no
// node sends it anything any more. What it answers meanwhile ends its connection:
// the API server keeps connections and would otherwise write into one that closes.
func (s *server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listening for admission: %w", err)
	}
	logger := ctrl.Log.WithName("admission")
	h := &http.Server{
		Handler:        http.HandlerFunc(s.serve),
		ReadTimeout:    readTimeout,
		WriteTimeout:   answerTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: maxUnread,
			MaxReceiveBufferPerStream:     maxUnread,
		},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.getCertificate},
		// Probes and port scans that break off are nobody's error.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(logger), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- h.ServeTLS(netutil.LimitListener(listener, maxConnections), "", "") }()
	s.listening.Store(true)
	logger.Info("serving", "address", listener.Addr().String())
	select {
	case err := <-ended:
		return fmt.Errorf("serving admission: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	logger.Info("told to end, serving on until no node sends anything", "for", s.drain.String())
	select {
	case err := <-ended:
		return fmt.Errorf("serving admission: %w", err)
	case <-time.After(s.drain):
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := h.Shutdown(last); err != nil {
		return fmt.Errorf("ending admission: %w", err)
	}
	return nil
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	s.handler.ServeHTTP(w, r)
}

// started is the part of readiness that is the server's own.
func (s *server) started(*http.Request) error {
	if !s.listening.Load() {
		return errors.New("admission is not served yet; can the API server be reached?")
	}
	return nil
}
