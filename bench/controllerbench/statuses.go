package controllerbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// patience is for all Connectors to become Ready, and for any one change.
	patience = 20 * time.Minute
	// changers change Secrets at once.
	changers = 2
)

// statuses are what Connectors say, by a watch like that of anybody who waits for
// one.
type statuses struct {
	stop func()

	mu      sync.Mutex
	ready   map[types.NamespacedName]seen
	trues   int
	changed chan struct{} // closed at the next change
	ended   bool
}

// seen is what Ready is, and when that arrived here.
type seen struct {
	status metav1.ConditionStatus
	at     time.Time
}

// observed is what matters of a Connector in an event of a watch. To decode all of it
// would take the machine's time from what is measured.
type observed struct {
	Object struct {
		Metadata struct{ Namespace, Name string }
		Status   struct {
			Conditions []struct{ Type, Status string }
		}
	}
}

// follow begins to watch all Connectors, none of which has a status yet.
func (b *bed) follow(ctx context.Context) (*statuses, error) {
	ctx, stop := context.WithCancel(ctx)
	const hours = 12 * 60 * 60 // no new watch in the middle
	url := fmt.Sprintf("%s/apis/%s/connectors?watch=true&timeoutSeconds=%d", strings.TrimSuffix(b.server.Config.Host, "/"), v1alpha1.GroupVersion, hours)
	events, err := b.open(ctx, url)
	if err != nil {
		stop()
		return nil, fmt.Errorf("watching Connectors: %w", err)
	}
	s := &statuses{stop: stop, ready: map[types.NamespacedName]seen{}, changed: make(chan struct{})}
	go func() {
		defer events.Close()
		for decoder := json.NewDecoder(events); ; {
			var event observed
			if decoder.Decode(&event) != nil {
				break
			}
			s.see(&event)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		close(s.changed)
	}()
	return s, nil
}

// open asks the API server for something that does not end.
func (b *bed) open(ctx context.Context, url string) (io.ReadCloser, error) {
	administrator, err := rest.HTTPClientFor(b.server.Config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := administrator.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New(response.Status), response.Body.Close())
	}
	return response.Body, nil
}

func (s *statuses) see(event *observed) {
	now := time.Now()
	key := types.NamespacedName(event.Object.Metadata)
	for _, condition := range event.Object.Status.Conditions {
		if condition.Type == string(v1alpha1.ConditionReady) {
			s.note(key, metav1.ConditionStatus(condition.Status), now)
		}
	}
}

func (s *statuses) note(key types.NamespacedName, ready metav1.ConditionStatus, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.ready[key].status
	if before == ready {
		return
	}
	if before == metav1.ConditionTrue {
		s.trues--
	}
	if ready == metav1.ConditionTrue {
		s.trues++
	}
	s.ready[key] = seen{ready, now}
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until something is so. It is asked with mu held.
func (s *statuses) await(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.mu.Lock()
		done, changed, ended := is(), s.changed, s.ended
		s.mu.Unlock()
		if done {
			return nil
		}
		if ended {
			return errors.New("the watch has ended")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *statuses) awaitAllReady(ctx context.Context, count int) error {
	err := s.await(ctx, func() bool { return s.trues == count })
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("%d of %d Connectors are Ready: %w", s.trues, count, err)
	}
	return nil
}

// awaitReady waits until Ready of a Connector is so, and says since when.
func (s *statuses) awaitReady(ctx context.Context, key types.NamespacedName, status metav1.ConditionStatus) (at time.Time, err error) {
	err = s.await(ctx, func() bool {
		at = s.ready[key].at
		return s.ready[key].status == status
	})
	return at, err
}

// changeSecrets gives Connectors of many namespaces a bad token and then a good
// one. What counts is the time from before the change of a Secret
// to when the status arrives at whoever watches it.
func (b *bed) changeSecrets(ctx context.Context, s *statuses, p plan) (Changes, error) {
	var mu sync.Mutex
	var took []float64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(changers)
	count := min(p.changes/2, p.connectors)
	step := p.connectors / count
	for i := range count {
		group.Go(func() error {
			key := keyOf(i*step+i%step, p) // of all targets
			for _, to := range []struct {
				end    string
				status metav1.ConditionStatus
			}{{revoked, metav1.ConditionFalse}, {"", metav1.ConditionTrue}} {
				start := time.Now()
				if err := b.client.Update(ctx, tokenSecret(key, to.end)); err != nil {
					return err
				}
				at, err := s.awaitReady(ctx, key, to.status)
				if err != nil {
					return fmt.Errorf("%s: Ready does not become %s: %w", key, to.status, err)
				}
				mu.Lock()
				took = append(took, at.Sub(start).Seconds())
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Changes{}, err
	}
	slices.Sort(took)
	n := len(took)
	return Changes{Samples: n, P50: took[n/2], P99: took[n*99/100], Max: took[n-1]}, nil
}
