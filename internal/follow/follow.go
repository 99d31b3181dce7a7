// Package follow watches all objects of a kind and keeps none of them. Of the
// Secrets of a cluster most concern nobody here, and an informer would keep the
// metadata of each: half a kilobyte for every one that Helm or cert-manager makes.
package follow

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Handler is told what there is. It must not wait for anything. What it is told of
// one namespace comes in order, one after the other.
type Handler interface {
	// Seen says that an object is new, or is another version now.
	Seen(object client.Object)
	// Gone says that an object is no more. Its version is that of the deletion.
	Gone(object client.Object)
	// All says what there is at a version, in one namespace or, if that is empty, in
	// all: what is not among the objects is no more. That is so at the start, and
	// when changes may have been missed. After a backup of the API server was
	// restored, the version may be older than one that was seen before.
	All(namespace string, objects []client.Object, version string)
}

// Kind is what to follow.
type Kind struct {
	// Object is an empty object of the kind and List an empty list of them.
	Object client.Object
	List   client.ObjectList
	// Selector says by its labels which objects count, nil for all.
	Selector labels.Selector
	// Transform takes off an object what the handlers do not need, as soon as it
	// comes. It may be asked again about what it has changed already.
	Transform cache.TransformFunc
}

// Follower follows all objects of a kind.
type Follower struct {
	handlers []Handler
	windows  []*window
}

// New makes a follower of a kind of objects, in the namespaces, or in all if none
// is named.
func New(c client.WithWatch, kind Kind, namespaces ...string) *Follower {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	f := &Follower{}
	for _, namespace := range namespaces {
		f.windows = append(f.windows, &window{follower: f, client: c, kind: kind, namespace: namespace, synced: make(chan struct{})})
	}
	return f
}

// Handle adds a handler. It must be called before Start.
func (f *Follower) Handle(h Handler) { f.handlers = append(f.handlers, h) }

// Start follows until ctx ends.
func (f *Follower) Start(ctx context.Context) {
	var running sync.WaitGroup
	for _, w := range f.windows {
		reflector := cache.NewReflectorWithOptions(w.listWatch(), w.kind.Object, w, cache.ReflectorOptions{
			Name: fmt.Sprintf("follower of %T", w.kind.List),
		})
		running.Go(func() { reflector.RunWithContext(ctx) })
	}
	running.Wait()
}

// WaitForSync waits until the handlers were told of all that there is. It is false
// if ctx ended before.
func (f *Follower) WaitForSync(ctx context.Context) bool {
	for _, w := range f.windows {
		select {
		case <-w.synced:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// window is what a follower sees of one namespace. To a reflector it looks like
// the store to fill.
type window struct {
	follower  *Follower
	client    client.WithWatch
	kind      Kind
	namespace string

	once   sync.Once
	synced chan struct{}
}

func (w *window) listWatch() *cache.ListWatch {
	options := func(raw metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: w.namespace, LabelSelector: w.kind.Selector, Limit: raw.Limit, Continue: raw.Continue, Raw: &raw}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			list := w.kind.List.DeepCopyObject().(client.ObjectList)
			return list, w.client.List(ctx, list, options(raw))
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			return w.client.Watch(ctx, w.kind.List.DeepCopyObject().(client.ObjectList), options(raw))
		},
	}
}

// Transformer implements cache.TransformingStore.
func (w *window) Transformer() cache.TransformFunc { return w.kind.Transform }

// Add implements cache.ReflectorStore.
func (w *window) Add(object any) error {
	return w.tell(object, func(h Handler, o client.Object) { h.Seen(o) })
}

// Update implements cache.ReflectorStore.
func (w *window) Update(object any) error { return w.Add(object) }

// Delete implements cache.ReflectorStore.
func (w *window) Delete(object any) error {
	return w.tell(object, func(h Handler, o client.Object) { h.Gone(o) })
}

func (w *window) tell(object any, say func(Handler, client.Object)) error {
	o, err := w.transform(object)
	if err != nil {
		return err
	}
	for _, h := range w.follower.handlers {
		say(h, o)
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (w *window) Replace(list []any, version string) error {
	objects := make([]client.Object, len(list))
	for i := range list {
		var err error
		if objects[i], err = w.transform(list[i]); err != nil {
			return err
		}
	}
	for _, h := range w.follower.handlers {
		h.All(w.namespace, objects, version)
	}
	w.once.Do(func() { close(w.synced) })
	return nil
}

// Resync implements cache.ReflectorStore. Nothing is kept that could be told again.
func (w *window) Resync() error { return nil }

func (w *window) transform(object any) (client.Object, error) {
	if w.kind.Transform != nil {
		var err error
		if object, err = w.kind.Transform(object); err != nil {
			return nil, err
		}
	}
	o, ok := object.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", object)
	}
	return o, nil
}
