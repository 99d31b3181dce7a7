package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cachePatience is how long to wait for an API server whose own cache is behind. It
// would by itself make us wait three seconds, and try ten times.
const cachePatience = 2 * time.Second

// secretStore holds what is needed of the Secrets that Connectors name, and nothing
// of others. It is told which versions there are of all Secrets, and reads one from
// the API server when a newer one is there than what it holds, so that an unchanged
// one costs no request. It goes when nobody uses it any more.
type secretStore[T any] struct {
	live client.Reader
	// keep takes out of a Secret what is held of it.
	keep func(*corev1.Secret) T
	// look calls for a look at a Connector whose Secret has changed.
	look func(types.NamespacedName)

	mu      sync.Mutex
	secrets map[types.NamespacedName]*usedSecret[T]
	// uses is which Secret each Connector uses: one at most.
	uses map[types.NamespacedName]types.NamespacedName
	// versions are the newest that were seen of any Secret, by the namespace that is
	// followed: it is empty if all are.
	versions map[string]string
}

// usedSecret is a Secret that Connectors name.
type usedSecret[T any] struct {
	// users are the names of the Connectors, in the namespace of the Secret.
	users []string
	// version is the version of what is held, "" if it was not read yet; newest is the
	// newest that was seen.
	version, newest string
	// there says that there is such a Secret, and value what is held of it.
	there bool
	value T
}

// isCurrent reports whether what is held is all that there is to know.
func (u *usedSecret[T]) isCurrent() bool {
	return u.version != "" && (u.newest == "" || !isOlder(u.version, u.newest))
}

func newSecretStore[T any](live client.Reader, look func(types.NamespacedName), keep func(*corev1.Secret) T) *secretStore[T] {
	return &secretStore[T]{
		live:     live,
		keep:     keep,
		look:     look,
		secrets:  make(map[types.NamespacedName]*usedSecret[T]),
		uses:     make(map[types.NamespacedName]types.NamespacedName),
		versions: make(map[string]string),
	}
}

// get returns what is held of a Secret, and remembers that user, a Connector beside
// it, uses it, and not the one that it used before. It is false if there is no such
// Secret.
func (s *secretStore[T]) get(ctx context.Context, user types.NamespacedName, name string) (value T, there bool, err error) {
	key := types.NamespacedName{Namespace: user.Namespace, Name: name}
	// Whatever happens to the Secret from here on is not missed.
	held, since := s.use(user, key)
	if held.isCurrent() {
		return held.value, held.there, nil
	}
	var secret corev1.Secret
	err = readSecret(ctx, s.live, key, since, &secret)
	switch {
	case apierrors.IsNotFound(err):
		held = s.hold(key, user, usedSecret[T]{version: since})
	case err != nil:
		return value, false, fmt.Errorf("reading Secret %q: %w", name, err)
	default:
		held = s.hold(key, user, usedSecret[T]{version: secret.ResourceVersion, there: true, value: s.keep(&secret)})
	}
	return held.value, held.there, nil
}

// readSecret lets the API server answer from its own cache, which costs it far less,
// if that is not older than a version. If it is for long, or has no such Secret, which
// may have been applied just now, what counts is what the API server has stored.
func readSecret(ctx context.Context, live client.Reader, key types.NamespacedName, since string, secret *corev1.Secret) error {
	cached, cancel := context.WithTimeout(ctx, cachePatience)
	defer cancel()
	err := live.Get(cached, key, secret, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: since}})
	if apierrors.IsNotFound(err) || err != nil && cached.Err() != nil {
		return live.Get(ctx, key, secret)
	}
	return err
}

// use notes that user uses a Secret, and returns what is held of it and the newest
// version that was seen of any.
func (s *secretStore[T]) use(user, key types.NamespacedName) (held usedSecret[T], since string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.uses[user]; !ok || before != key {
		s.release(user)
		if s.secrets[key] == nil {
			s.secrets[key] = &usedSecret[T]{}
		}
		s.secrets[key].users = append(s.secrets[key].users, user.Name)
		s.uses[user] = key
	}
	return *s.secrets[key], s.versions[s.followed(key.Namespace)]
}

// hold holds what was read of a Secret for a user, and returns it, or what is held
// already if that is newer. Others that have read an older one are told, unless they
// were told of this one.
func (s *secretStore[T]) hold(key, user types.NamespacedName, read usedSecret[T]) usedSecret[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.secrets[key]
	if u == nil {
		return read
	}
	if u.version != "" && !isOlder(u.version, read.version) {
		return *u
	}
	news := u.version != "" && isOlder(u.newest, read.version)
	u.version, u.there, u.value = read.version, read.there, read.value
	if news {
		for _, name := range u.users {
			if name != user.Name {
				s.look(types.NamespacedName{Namespace: key.Namespace, Name: name})
			}
		}
	}
	return *u
}

// forget notes that a Connector uses no Secret.
func (s *secretStore[T]) forget(user types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(user)
}

// release is forget with s.mu held.
func (s *secretStore[T]) release(user types.NamespacedName) {
	key, ok := s.uses[user]
	if !ok {
		return
	}
	delete(s.uses, user)
	u := s.secrets[key]
	u.users = slices.DeleteFunc(u.users, func(name string) bool { return name == user.Name })
	if len(u.users) == 0 {
		delete(s.secrets, key)
	}
}

// Seen implements follow.Handler.
func (s *secretStore[T]) Seen(secret client.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[s.followed(secret.GetNamespace())] = secret.GetResourceVersion()
	key := client.ObjectKeyFromObject(secret)
	if u := s.secrets[key]; u != nil {
		u.newest = secret.GetResourceVersion()
		s.tell(key, u)
	}
}

// Gone implements follow.Handler. That there is none any more is news like others.
func (s *secretStore[T]) Gone(secret client.Object) { s.Seen(secret) }

// All implements follow.Handler. Only versions that are equal say that nothing has
// changed: after a backup was restored they may be older than before.
func (s *secretStore[T]) All(namespace string, secrets []client.Object, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[namespace] = version
	there := make(map[types.NamespacedName]string)
	for _, secret := range secrets {
		if key := client.ObjectKeyFromObject(secret); s.secrets[key] != nil {
			there[key] = secret.GetResourceVersion()
		}
	}
	for key, u := range s.secrets {
		if s.followed(key.Namespace) != namespace {
			continue
		}
		newest, exists := there[key]
		same := u.isCurrent() && u.there == exists && (!exists || u.version == newest)
		if !exists {
			newest = version
		}
		u.version, u.newest = newest, newest
		if !same {
			u.version = ""
			s.tell(key, u)
		}
	}
}

// tell calls for looks at all that use a Secret, if there is something to see, with
// s.mu held.
func (s *secretStore[T]) tell(key types.NamespacedName, u *usedSecret[T]) {
	if u.isCurrent() {
		return // it was read before we were told of it
	}
	for _, name := range u.users {
		s.look(types.NamespacedName{Namespace: key.Namespace, Name: name})
	}
}

// followed is how the versions of a namespace are found: by its name if it is
// followed by itself.
func (s *secretStore[T]) followed(namespace string) string {
	if _, ok := s.versions[namespace]; ok {
		return namespace
	}
	return metav1.NamespaceAll
}

// isOlder compares versions of one object. What cannot be compared counts as
// older, so that it is read again.
func isOlder(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || order < 0
}
