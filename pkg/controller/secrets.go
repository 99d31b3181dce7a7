package controller

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretStore holds what is needed of the Secrets that Connectors name, and of no
// others. The cache knows the metadata of all Secrets; one is read from the API
// server when its resourceVersion there is newer than what is held, so that an
// unchanged one costs no request. It goes when nobody uses it any more.
type secretStore[T any] struct {
	// metadata is the cache, live the API server.
	metadata, live client.Reader
	// keep takes out of a Secret what is held of it.
	keep func(*corev1.Secret) T

	mu      sync.Mutex
	secrets map[types.NamespacedName]*heldSecret[T]
	// uses is which Secret each user uses: a Connector one at most.
	uses map[types.NamespacedName]types.NamespacedName
	// missing is which Secret each user was told last that it does not exist.
	missing map[types.NamespacedName]types.NamespacedName
}

type heldSecret[T any] struct {
	version string
	value   T
	users   int
}

func newSecretStore[T any](metadata, live client.Reader, keep func(*corev1.Secret) T) *secretStore[T] {
	return &secretStore[T]{
		metadata: metadata,
		live:     live,
		keep:     keep,
		secrets:  make(map[types.NamespacedName]*heldSecret[T]),
		uses:     make(map[types.NamespacedName]types.NamespacedName),
		missing:  make(map[types.NamespacedName]types.NamespacedName),
	}
}

// get returns what is held of a Secret, and remembers that user uses it, and not
// the one that it used before. It is false if there is no such Secret.
func (s *secretStore[T]) get(ctx context.Context, user, key types.NamespacedName) (value T, there bool, err error) {
	var none T
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err = s.metadata.Get(ctx, key, metadata)
	if apierrors.IsNotFound(err) && s.isMissing(user, key) {
		return none, false, nil
	}
	// The cache may be behind, as when Secret and Connector are applied together: what
	// it does not have is asked for once.
	if client.IgnoreNotFound(err) != nil {
		return none, false, fmt.Errorf("looking for Secret %q: %w", key.Name, err)
	}
	if err == nil {
		if value, there = s.use(user, key, metadata.ResourceVersion); there {
			return value, true, nil
		}
	}
	var secret corev1.Secret
	err = s.live.Get(ctx, key, &secret, notOlderThan(metadata.ResourceVersion))
	if apierrors.IsNotFound(err) {
		s.miss(user, key)
		return none, false, nil
	}
	if err != nil {
		return none, false, fmt.Errorf("reading Secret %q: %w", key.Name, err)
	}
	return s.hold(user, key, secret.ResourceVersion, s.keep(&secret)), true, nil
}

// notOlderThan lets the API server answer from its own cache, which costs it far
// less, if that is not behind ours.
func notOlderThan(version string) *client.GetOptions {
	return &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: version}}
}

// use is what is held of a Secret, if that is not older than a version.
func (s *secretStore[T]) use(user, key types.NamespacedName, version string) (value T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.secrets[key]
	if held == nil || isOlder(held.version, version) {
		return value, false
	}
	s.register(user, key)
	return held.value, true
}

// hold holds a Secret as of a version for a user, or what is held already if that
// is newer.
func (s *secretStore[T]) hold(user, key types.NamespacedName, version string, value T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.secrets[key]
	if held == nil {
		held = &heldSecret[T]{version: version, value: value}
		s.secrets[key] = held
	} else if isOlder(held.version, version) {
		held.version, held.value = version, value
	}
	s.register(user, key)
	return held.value
}

// register notes that user uses a Secret that is held, with s.mu held.
func (s *secretStore[T]) register(user, key types.NamespacedName) {
	delete(s.missing, user)
	if before, ok := s.uses[user]; ok {
		if before == key {
			return
		}
		s.release(before)
	}
	s.uses[user] = key
	s.secrets[key].users++
}

// isMissing reports whether user was told last that this Secret does not exist.
func (s *secretStore[T]) isMissing(user, key types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, told := s.missing[user]
	return told && before == key
}

// miss notes that user was told that a Secret does not exist, and so uses none.
func (s *secretStore[T]) miss(user, key types.NamespacedName) {
	s.forget(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing[user] = key
}

// forget notes that user uses no Secret.
func (s *secretStore[T]) forget(user types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missing, user)
	if key, ok := s.uses[user]; ok {
		delete(s.uses, user)
		s.release(key)
	}
}

func (s *secretStore[T]) release(key types.NamespacedName) {
	held := s.secrets[key]
	if held.users--; held.users == 0 {
		delete(s.secrets, key)
	}
}

// isOlder compares versions of one object. What cannot be compared counts as
// older, so that it is read again.
func isOlder(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || order < 0
}
