package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// eventServer is an API server that takes events, each as long as it takes.
type eventServer struct {
	client.Client
	takes time.Duration
	// hangs is how long it takes for the first one instead, and away how long it is
	// not there.
	hangs, away time.Duration

	began   time.Time
	mu      sync.Mutex
	written []string
	events  []eventsv1.Event
}

func (s *eventServer) Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(scheme)
	return scheme
}

func (s *eventServer) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	event := object.(*eventsv1.Event)
	if s.away > 0 && time.Now().Before(s.began.Add(s.away)) {
		return errors.New("connection refused")
	}
	event.Name = event.GenerateName + "1"
	s.mu.Lock()
	s.events = append(s.events, *event)
	s.mu.Unlock()
	return s.take(ctx, event.Note)
}

func (s *eventServer) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var event eventsv1.Event
	if err := json.Unmarshal(data, &event); err != nil {
		return err
	}
	return s.take(ctx, fmt.Sprintf("%s again: %d", object.GetName(), event.Series.Count))
}

func (s *eventServer) take(ctx context.Context, what string) error {
	s.mu.Lock()
	takes := s.takes
	if s.hangs > 0 {
		takes, s.hangs = s.hangs, 0
	}
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, what)
	return nil
}

func TestEventsHoldNobodyUp(t *testing.T) {
	for name, tc := range map[string]struct {
		takes, hangs, away time.Duration
		tell               []string
		// lives is for how long the recorder runs.
		lives   time.Duration
		written []string
		log     string
	}{
		"in their order": {
			takes: time.Millisecond, lives: time.Second,
			tell: []string{"one", "two", "three"}, written: []string{"one", "two", "three"},
		},
		"the same again is counted": {
			takes: time.Millisecond, lives: time.Second,
			tell: []string{"one", "one", "two", "one"}, written: []string{"one", "cluster-1 again: 2", "two", "cluster-1 again: 3"},
		},
		"one that takes too long is given up, and the next is written": {
			takes: time.Millisecond, hangs: 3 * time.Second, lives: 5 * time.Second,
			tell: []string{"one", "two"}, written: []string{"two"}, log: "context deadline exceeded",
		},
		"they wait for the API server to come back": {
			takes: time.Millisecond, away: 90 * time.Second, lives: 2 * time.Minute,
			tell: []string{"one", "two", "three"}, written: []string{"one", "two", "three"},
		},
		"but not for ever": {
			takes: time.Millisecond, away: time.Hour, lives: 11 * time.Minute,
			tell: []string{"one", "two"}, log: "connection refused",
		},
		"nor at the end": {
			takes: time.Millisecond, away: time.Hour, lives: time.Minute,
			tell: []string{"one", "two", "three"}, log: "connection refused",
		},
		"at the end what waits is written": {
			takes: 300 * time.Millisecond, lives: 100 * time.Millisecond,
			tell: []string{"one", "two", "three"}, written: []string{"one", "two", "three"},
		},
		"but not for long": {
			takes: 600 * time.Millisecond, lives: 100 * time.Millisecond,
			tell: []string{"one", "two", "three", "four", "five"}, written: []string{"one", "two"},
			log: "events are not written any more\" count=2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &eventServer{takes: tc.takes, hangs: tc.hangs, away: tc.away, began: time.Now()}
				var logged strings.Builder
				ctx, cancel := context.WithCancel(log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewTextHandler(&logged, nil))))
				defer cancel()
				r := newRecorder(server)
				ended := make(chan error)
				go func() { ended <- r.Start(ctx) }()

				start := time.Now()
				for _, note := range tc.tell {
					r.tell(ctx, &v1alpha1.Connector{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "cluster"}}, "Normal", "Ready", "Check", note)
				}
				require.Zero(t, time.Since(start), "telling takes time")
				<-time.After(tc.lives) // of synctest's time
				cancel()
				require.NoError(t, <-ended)

				require.Equal(t, tc.written, server.written)
				if tc.log == "" {
					require.Empty(t, logged.String())
				} else {
					require.Contains(t, logged.String(), tc.log)
				}
				for _, event := range server.events {
					require.Equal(t, start, event.EventTime.Time, "it is when it was written and not when it happened")
					require.Equal(t, "team", event.Namespace)
				}
			})
		})
	}
}

func TestTooManyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &eventServer{takes: time.Millisecond}
		var logged strings.Builder
		ctx, cancel := context.WithCancel(log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewTextHandler(&logged, nil))))
		defer cancel()
		r := newRecorder(server)
		for i := range mostWaiting + 2 {
			r.tell(ctx, &v1alpha1.ConnectorClass{ObjectMeta: metav1.ObjectMeta{Name: "k8s"}}, "Normal", "Ready", "Check", fmt.Sprint(i))
		}
		require.Equal(t, 1, strings.Count(logged.String(), errTooManyEvents.Error()), "%s", logged.String())

		ended := make(chan error)
		go func() { ended <- r.Start(ctx) }()
		<-time.After(mostWaiting * server.takes)
		synctest.Wait()
		cancel()
		require.NoError(t, <-ended)
		require.Len(t, server.written, mostWaiting)
		require.Equal(t, metav1.NamespaceDefault, server.events[0].Namespace)
	})
}
