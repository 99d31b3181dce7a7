package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
	err = s.live.Get(ctx, key, &secret, notOlderThan(since))
	if apierrors.IsNotFound(err) {
		// The cache of the API server may be behind, as when Secret and Connector are
		// applied together.
		err = s.live.Get(ctx, key, &secret)
	}
	switch {
	case apierrors.IsNotFound(err):
		s.hold(key, usedSecret[T]{version: since})
		return value, false, nil
	case err != nil:
		return value, false, fmt.Errorf("reading Secret %q: %w", name, err)
	}
	value = s.keep(&secret)
	s.hold(key, usedSecret[T]{version: secret.ResourceVersion, there: true, value: value})
	return value, true, nil
}

// notOlderThan lets the API server answer from its own cache, which costs it far
// less, if that is not behind what was seen.
func notOlderThan(version string) *client.GetOptions {
	return &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: version}}
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

// hold holds what was read of a Secret, if it is still used and nothing newer is
// held already.
func (s *secretStore[T]) hold(key types.NamespacedName, read usedSecret[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.secrets[key]; u != nil && (u.version == "" || isOlder(u.version, read.version)) {
		u.version, u.there, u.value = read.version, read.there, read.value
	}
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
		if u.there == exists && (!exists || u.version == newest) {
			continue
		}
		u.version, u.newest = "", newest
		s.tell(key, u)
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
