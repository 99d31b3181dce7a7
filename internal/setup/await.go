package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// answerTimeout is how long the API server may take to say its version.
	answerTimeout = 5 * time.Second
	// askAgain is how often it is asked while it does not answer.
	askAgain = time.Second
)

// await waits until the API server answers. Ending over it would not help: the
// kubelet would wait longer with each restart, up to five minutes, and be that
// late when the API server is back.
func await(ctx context.Context, config *rest.Config, healthAddress string, why error) error {
	logger := ctrl.Log.WithName("setup")
	var reason atomic.Value
	stop, err := serveWaiting(ctx, healthAddress, &reason)
	if err != nil {
		return err
	}
	defer stop()
	for errors.Is(why, errNoAnswer) {
		if said := why.Error(); reason.Swap(said) != said {
			logger.Error(why, "waiting for the API server", "address", config.Host)
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return why
		}
		why = CheckVersion(config)
	}
	if why == nil {
		logger.Info("the API server answers")
	}
	return why
}

// serveWaiting answers the kubelet while the manager, which does later, is not
// there. The function it returns ends that.
func serveWaiting(ctx context.Context, address string, reason *atomic.Value) (stop func(), err error) {
	if address == "0" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for health checks: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, fmt.Sprint(reason.Load()), http.StatusServiceUnavailable)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: answerTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it ends when it is closed
	}()
	return func() {
		_ = server.Close() // nothing can be done about it
		<-ended
	}, nil
}
