package controller

import (
	"crypto/sha256"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// memory is what is remembered of each Connector between two looks at it.
type memory struct {
	mu         sync.Mutex
	connectors map[types.NamespacedName]remembered
}

type remembered struct {
	// written is the resourceVersion that our last write of the status made, at a time.
	written string
	at      time.Time
	// token is a hash of the last token of the Connector with this uid, zero if there
	// was none so far.
	token [sha256.Size]byte
	uid   types.UID
	// ca keeps the authorities from being parsed anew for each look.
	ca *authorities
}

func (m *memory) change(key types.NamespacedName, change func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.connectors[key]
	change(&r)
	if m.connectors == nil {
		m.connectors = make(map[types.NamespacedName]remembered)
	}
	m.connectors[key] = r
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.connectors, key)
}

// longestBehind is how long a cache can be behind. After a backup of the API server
// was restored, its versions are older than what was written before, and stay so.
const longestBehind = time.Minute

// isBehind reports whether what the cache has of a Connector is older than what
// we wrote last. To look at it then could take a change back for no change, or
// write again what is written.
func (m *memory) isBehind(key types.NamespacedName, cached string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.connectors[key]
	return r.written != "" && isOlder(cached, r.written) && time.Since(r.at) < longestBehind
}

// rotated remembers the token and reports whether it is another one than before.
// It is not where nothing is remembered, as after a start.
func (m *memory) rotated(key types.NamespacedName, uid types.UID, token string) (yes bool) {
	m.change(key, func(r *remembered) {
		hash := sha256.Sum256([]byte(token))
		yes = r.uid == uid && r.token != [sha256.Size]byte{} && r.token != hash
		r.token, r.uid = hash, uid
	})
	return yes
}
