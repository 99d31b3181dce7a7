package controller

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
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
	// longestNote is what the API server allows, in bytes.
	longestNote = 1024
	// tellFor is how long a look may be held up by an event.
	tellFor = 2 * time.Second
)

// recorder writes events. That of client-go remembers each for some minutes, which
// takes 15 MB when ten thousand Connectors become ready.
type recorder struct {
	client   client.Client
	instance string
	recent   *lru.Cache
}

// told is an event that was written, and how often.
type told struct {
	name  string
	times int32
}

func newRecorder(c client.Client) *recorder {
	host, _ := os.Hostname() // the API server wants to know which replica, but takes any name
	return &recorder{client: c, instance: reporter + "-" + host, recent: lru.New(toldLately)}
}

// tell writes an event about an object, or that it happened again. That it cannot is
// no reason for anything else to fail.
//
// It names the object without its resourceVersion: the same again and again is one
// event with a count.
func (r *recorder) tell(ctx context.Context, about client.Object, kind, reason, action, note string) {
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	id := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", about.GetUID(), kind, reason, note))
	now, err := r.again(ctx, about, id)
	if now.name == "" {
		now, err = r.create(ctx, about, &eventsv1.Event{Type: kind, Reason: reason, Action: action, Note: note})
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "cannot write an event", "reason", reason)
		return
	}
	r.recent.Add(id, now)
}

// again counts an event that is there already. It has no name if there is none.
func (r *recorder) again(ctx context.Context, about client.Object, id [sha256.Size]byte) (told, error) {
	before, ok := r.recent.Get(id)
	if !ok {
		return told{}, nil
	}
	now := before.(told)
	now.times++
	event := &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(about), Name: now.name}}
	patch := fmt.Appendf(nil, `{"series":{"count":%d,"lastObservedTime":%q}}`, now.times, time.Now().UTC().Format(metav1.RFC3339Micro))
	err := r.client.Patch(ctx, event, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return told{}, nil // the API server keeps events for an hour
	}
	return now, err
}

func (r *recorder) create(ctx context.Context, about client.Object, event *eventsv1.Event) (told, error) {
	gvk, err := apiutil.GVKForObject(about, r.client.Scheme())
	if err != nil {
		return told{}, err
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	event.ObjectMeta = metav1.ObjectMeta{Namespace: namespaceOf(about), GenerateName: about.GetName() + "-"}
	event.Note = strings.ToValidUTF8(event.Note[:min(len(event.Note), longestNote)], "")
	event.EventTime = metav1.NowMicro()
	event.ReportingController, event.ReportingInstance = reporter, r.instance
	event.Regarding = corev1.ObjectReference{
		APIVersion: apiVersion, Kind: kind, Namespace: about.GetNamespace(), Name: about.GetName(), UID: about.GetUID(),
	}
	if err := r.client.Create(ctx, event); err != nil {
		return told{}, err
	}
	return told{name: event.Name, times: 1}, nil
}

// namespaceOf is where events about an object are: those about what is in no
// namespace are in this one, where kubectl looks for them.
func namespaceOf(about client.Object) string {
	if namespace := about.GetNamespace(); namespace != "" {
		return namespace
	}
	return metav1.NamespaceDefault
}
