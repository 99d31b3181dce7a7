package controller

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretWorld is an API server with one Secret, a watch of it that lags and may break,
// and Connectors that name it. Whatever can happen, happens: before a request, while
// it is answered, and before the answer is heard.
type secretWorld struct {
	client.Reader
	random *rand.Rand
	store  *secretStore[string]
	// history is the version of the Secret at each version of all, 0 if there was none.
	history []int
	// told is up to where the watch has told.
	told  int
	depth int
	// called says which Connectors are to be looked at, looking which are right now,
	// and got is what each of them found last.
	called, looking map[string]bool
	got             map[string]string
}

var worldUsers = []string{"a", "b", "c"}

func newSecretWorld(seed uint64) *secretWorld {
	w := &secretWorld{
		random: rand.New(rand.NewPCG(seed, 0)), history: []int{0, 0}, told: 1,
		called: map[string]bool{}, looking: map[string]bool{}, got: map[string]string{},
	}
	w.store = newSecretStore(w, func(key types.NamespacedName) { w.called[key.Name] = true },
		func(s *corev1.Secret) string { return s.ResourceVersion })
	w.list()
	for _, name := range worldUsers {
		w.called[name] = true
	}
	return w
}

func (w *secretWorld) now() int { return len(w.history) - 1 }

func secretAt(version int) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "s", ResourceVersion: strconv.Itoa(version)}}
}

// write makes, changes or deletes the Secret.
func (w *secretWorld) write(there bool) {
	version := 0
	if there {
		version = len(w.history)
	}
	w.history = append(w.history, version)
}

// watch tells of the next version.
func (w *secretWorld) watch() {
	if w.told == w.now() {
		return
	}
	w.told++
	switch {
	case w.history[w.told] != 0:
		w.store.Seen(secretAt(w.told))
	case w.history[w.told-1] != 0:
		w.store.Gone(secretAt(w.told))
	}
}

// list is what comes after a watch has broken.
func (w *secretWorld) list() {
	w.told += w.random.IntN(w.now() - w.told + 1)
	var there []client.Object
	if version := w.history[w.told]; version != 0 {
		there = append(there, secretAt(version))
	}
	w.store.All("", there, strconv.Itoa(w.told))
}

// Get answers as of some version that is not older than what is asked for.
func (w *secretWorld) Get(_ context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	asked := (&client.GetOptions{}).ApplyOptions(options).AsGetOptions().ResourceVersion
	w.something()
	at := w.now()
	if since, err := strconv.Atoi(asked); err == nil {
		at = since + w.random.IntN(at-since+1)
	}
	w.something()
	if w.history[at] == 0 {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	object.SetResourceVersion(strconv.Itoa(w.history[at]))
	return nil
}

// look is that of a Connector, if one was called for. There is one at a time.
func (w *secretWorld) look(name string) {
	if w.looking[name] || !w.called[name] {
		return
	}
	w.looking[name], w.called[name] = true, false
	w.depth++
	got, there, err := w.store.get(context.Background(), types.NamespacedName{Namespace: "team", Name: name}, "s")
	w.depth--
	if err != nil {
		panic(err)
	}
	if !there {
		got = "0"
	}
	w.got[name], w.looking[name] = got, false
}

func (w *secretWorld) something() {
	for w.depth < 4 && w.random.IntN(3) > 0 {
		switch w.random.IntN(6) {
		case 0:
			w.write(w.random.IntN(2) > 0)
		case 1, 2:
			w.watch()
		case 3:
			if w.random.IntN(4) == 0 {
				w.list()
			}
		default:
			w.look(worldUsers[w.random.IntN(len(worldUsers))])
		}
	}
}

// Whatever happens in whatever order, in the end every Connector has the Secret that
// there is, or knows that there is none.
func TestSecretsInAnyOrder(t *testing.T) {
	for seed := range uint64(10_000) {
		w := newSecretWorld(seed)
		for range 12 {
			w.something()
		}
		w.depth = 4 // nothing else happens
		for w.told < w.now() {
			w.watch()
		}
		want := map[string]string{}
		for _, name := range worldUsers {
			w.look(name)
			want[name] = strconv.Itoa(w.history[w.now()])
		}
		require.Equal(t, want, w.got, "seed %d", seed)
	}
}

// After a backup of the API server was restored, versions are older than before.
func TestSecretsAfterARestore(t *testing.T) {
	user := types.NamespacedName{Namespace: "team", Name: "a"}
	for name, test := range map[string]struct {
		// before is the version of the Secret, restored that in the backup, 0 if there
		// is none, and after that of what is written then.
		before, restored, after int
	}{
		"none, and made after it":         {0, 0, 120},
		"as it was":                       {10, 10, 0},
		"as it was, and changed after it": {10, 10, 120},
		"another":                         {500, 10, 0},
		"gone":                            {500, 0, 0},
		"gone, and made after it":         {500, 0, 120},
	} {
		t.Run(name, func(t *testing.T) {
			present, reads, looks := test.before, 0, 0
			store := newSecretStore(readerFunc(func(key client.ObjectKey, object client.Object) error {
				reads++
				if present == 0 {
					return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
				}
				object.SetResourceVersion(strconv.Itoa(present))
				return nil
			}), func(types.NamespacedName) { looks++ }, func(s *corev1.Secret) string { return s.ResourceVersion })
			all := func(version string) {
				var there []client.Object
				if present != 0 {
					there = append(there, secretAt(present))
				}
				store.All("", there, version)
			}
			all("510")
			check := func() {
				got, there, err := store.get(t.Context(), user, "s")
				require.NoError(t, err)
				require.Equal(t, present != 0, there)
				if there {
					require.Equal(t, strconv.Itoa(present), got)
				}
			}
			check()
			if present = test.restored; test.restored != test.before {
				all("100")
				require.Positive(t, looks)
			} else {
				all("100")
				require.Zero(t, looks)
			}
			check()
			if test.after != 0 {
				present, looks = test.after, 0
				store.Seen(secretAt(present))
				require.Positive(t, looks)
				check()
			}
			before := reads
			check()
			require.Equal(t, before, reads, "it is read once")
		})
	}
}

type readerFunc func(client.ObjectKey, client.Object) error

func (f readerFunc) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	return f(key, object)
}

func (f readerFunc) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists")
}
