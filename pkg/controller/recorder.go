package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// toldLately is how many events are remembered, to count those that come again.
	toldLately = 1000
	// mostWaiting is how many events may wait to be written. Each takes some 300 bytes,
	// a kilobyte more with a long message.
	mostWaiting = 20_000
	// longestNote is what the API server allows, in bytes.
	longestNote = 1024
	// writeFor is how long the API server may take for one event.
	writeFor = 2 * time.Second
	// whileAway is how old an event may become while the API server is away, and
	// tryAgain when to try again.
	whileAway, tryAgain = 10 * time.Minute, time.Second
	// lastWritesFor is how long an end is held up by events that still wait, after the
	// one that is being written.
	lastWritesFor = time.Second
)

// errTooManyEvents: the API server takes events more slowly than they happen.
var errTooManyEvents = errors.New("too many events wait to be written; see why the API server is slow to create events")

// recorder writes events, one after the other and beside the looks: what people and
// pipelines wait for is the status, which no event should hold up.
//
// The recorder of client-go remembers each event for some minutes, which takes 15 MB
// when ten thousand Connectors become ready, and of a burst may write only the first
// thousand.
type recorder struct {
	client   client.Client
	instance string
	recent   *lru.Cache

	mu      sync.Mutex
	waiting []happening
	full    bool          // it was, when something happened last
	news    chan struct{} // one, if something waits
}

// happening is what an event is about.
type happening struct {
	about                      corev1.ObjectReference
	kind, reason, action, note string
	at                         time.Time
}

// told is an event that was written, and how often.
type told struct {
	name  string
	times int32
}

func newRecorder(c client.Client) *recorder {
	host, _ := os.Hostname() // the API server wants to know which replica, but takes any name
	return &recorder{client: c, instance: reporter + "-" + host, recent: lru.New(toldLately), news: make(chan struct{}, 1)}
}

// tell has an event about an object written, or that it happened again. It does not
// wait for that, and that it cannot be done is no reason for anything else to fail.
//
// It names the object without its resourceVersion: the same again and again is one
// event with a count.
func (r *recorder) tell(ctx context.Context, about client.Object, kind, reason, action, note string) {
	gvk, err := apiutil.GVKForObject(about, r.client.Scheme())
	if err != nil {
		log.FromContext(ctx).Error(err, "cannot write an event", "reason", reason)
		return
	}
	h := happening{kind: kind, reason: reason, action: action, note: note, at: time.Now()}
	h.about = corev1.ObjectReference{Namespace: about.GetNamespace(), Name: about.GetName(), UID: about.GetUID()}
	h.about.APIVersion, h.about.Kind = gvk.ToAPIVersionAndKind()

	if was, is := r.queue(h); is && !was {
		log.FromContext(ctx).Error(errTooManyEvents, "events are lost until fewer wait", "waiting", mostWaiting)
	}
}

// queue lets an event wait, unless too many do, and reports whether they did before
// and do now.
func (r *recorder) queue(h happening) (was, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, r.full = r.full, len(r.waiting) == mostWaiting
	if !r.full {
		r.waiting = append(r.waiting, h)
		select {
		case r.news <- struct{}{}:
		default:
		}
	}
	return was, r.full
}

// next is the event that waits longest, if there is one.
func (r *recorder) next() (h happening, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.waiting = nil // with all that have been in it
		return h, false
	}
	h, r.waiting = r.waiting[0], r.waiting[1:]
	return h, true
}

// Start implements manager.Runnable: it writes events until ctx ends, and then those
// that still wait.
func (r *recorder) Start(ctx context.Context) error {
	for {
		select {
		case <-r.news:
			r.writeWaiting(ctx, context.WithoutCancel(ctx)) // what is being written is not broken off
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWritesFor)
			defer cancel()
			r.writeWaiting(last, last)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.waiting) > 0 {
				log.FromContext(ctx).Info("events are not written any more", "count", len(r.waiting))
			}
			return nil
		}
	}
}

// writeWaiting begins to write what waits until ctx ends.
func (r *recorder) writeWaiting(ctx, writing context.Context) {
	for ctx.Err() == nil {
		h, ok := r.next()
		if !ok {
			return
		}
		err := r.write(writing, &h)
		for isAway(err) && time.Since(h.at) < whileAway && ctx.Err() == nil {
			select {
			case <-time.After(tryAgain):
				err = r.write(writing, &h)
			case <-ctx.Done():
			}
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "cannot write an event", "reason", h.reason, "kind", h.about.Kind, "namespace", h.about.Namespace, "name", h.about.Name)
		}
	}
}

// isAway reports whether an error is of there being no API server. One that is too
// slow may have written the event.
func isAway(err error) bool {
	var answer apierrors.APIStatus
	return err != nil && !errors.As(err, &answer) && !errors.Is(err, context.DeadlineExceeded)
}

// write writes an event, or that it happened again.
func (r *recorder) write(ctx context.Context, h *happening) error {
	ctx, cancel := context.WithTimeout(ctx, writeFor)
	defer cancel()
	id := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", h.about.UID, h.kind, h.reason, h.note))
	now, err := r.again(ctx, h, id)
	if now.name == "" {
		now, err = r.create(ctx, h)
	}
	if err != nil {
		return err
	}
	r.recent.Add(id, now)
	return nil
}

// again counts an event that is there already. It has no name if there is none.
func (r *recorder) again(ctx context.Context, h *happening, id [sha256.Size]byte) (told, error) {
	before, ok := r.recent.Get(id)
	if !ok {
		return told{}, nil
	}
	now := before.(told)
	now.times++
	event := &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace(), Name: now.name}}
	patch := fmt.Appendf(nil, `{"series":{"count":%d,"lastObservedTime":%q}}`, now.times, h.at.UTC().Format(metav1.RFC3339Micro))
	err := r.client.Patch(ctx, event, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return told{}, nil // the API server keeps events for an hour
	}
	return now, err
}

func (r *recorder) create(ctx context.Context, h *happening) (told, error) {
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: h.namespace(), GenerateName: h.about.Name + "-"},
		EventTime:           metav1.NewMicroTime(h.at),
		ReportingController: reporter,
		ReportingInstance:   r.instance,
		Type:                h.kind,
		Reason:              h.reason,
		Action:              h.action,
		Regarding:           h.about,
		Note:                strings.ToValidUTF8(h.note[:min(len(h.note), longestNote)], ""),
	}
	if err := r.client.Create(ctx, event); err != nil {
		return told{}, err
	}
	return told{name: event.Name, times: 1}, nil
}

// namespace is where the event is: one about what is in no namespace is in this one,
// where kubectl looks for it.
func (h *happening) namespace() string {
	return cmp.Or(h.about.Namespace, metav1.NamespaceDefault)
}
