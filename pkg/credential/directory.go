package credential

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Directory reads credentials from files: below its root, each connector has a
// directory <namespace>/<name> with the files token, ca.crt, address and seal.
// They may be a volume of the kubelet, mounted at any level, or plain files;
// each may be missing, and appear or change at any time.
type Directory struct {
	root    string
	sealed  bool
	log     *slog.Logger
	sources []*fileSource
}

// NewDirectory returns the Directory at root. It reads nothing yet, and root
// need not exist. If it is sealed, there is no token without an address and a
// seal that was made with the token (connector.Seal): so it must be wherever
// others than the owner of the token may say where it goes.
func NewDirectory(root string, sealed bool, log *slog.Logger) *Directory {
	return &Directory{root: root, sealed: sealed, log: log}
}

// Source is the credential of one connector. It is read once before Source
// returns, and kept current by Run. Call it before Run.
func (d *Directory) Source(ref connector.Reference) Source {
	s := &fileSource{
		root:    d.root,
		sub:     filepath.Join(ref.Namespace, ref.Name),
		ref:     ref,
		sealed:  d.sealed,
		log:     d.log.With("connector", ref.String()),
		changed: make(chan struct{}),
	}
	s.current.Store(&Snapshot{Problem: errNoToken})
	s.Reload()
	d.sources = append(d.sources, s)
	return s
}

// fileSource is a Source of one connector's files.
type fileSource struct {
	root, sub string
	ref       connector.Reference
	sealed    bool
	log       *slog.Logger
	current   atomic.Pointer[Snapshot]

	mu       sync.Mutex // held while files are read, so that news are published in order
	changed  chan struct{}
	reported string // the last problem in the log, so that each is told once
}

func (s *fileSource) Current() *Snapshot { return s.current.Load() }

func (s *fileSource) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *fileSource) Reload() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.read()
	old := s.current.Load()
	switch {
	case err == nil:
		s.reported = ""
	case errors.Is(err, errNoToken), old.Token == "":
		// A token that was taken away is no longer used: that is how the owner
		// of the Secret revokes it.
		next = &Snapshot{Problem: err}
		s.report("no credential", err)
	default:
		// Everything of the old generation, not only the bad part: a token must
		// not meet an address that it was not meant for. What was sealed with it
		// stays good.
		s.report("the new credential is not usable; the last good one stays in use, until a restart", err)
		return old
	}
	if same(old, next) {
		return old
	}
	s.current.Store(next)
	close(s.changed)
	s.changed = make(chan struct{})
	if next.Token != "" {
		s.log.Info("credential loaded",
			"token_changed", next.Token != old.Token, "ca_changed", next.CA != old.CA, "address", next.Address.String())
	}
	return next
}

func (s *fileSource) report(message string, err error) {
	if err.Error() == s.reported {
		return
	}
	s.reported = err.Error()
	s.log.Warn(message, "reason", err.Error())
}

func same(a, b *Snapshot) bool {
	return a.Token == b.Token && a.CA == b.CA && a.Address == b.Address && problemText(a) == problemText(b)
}

func problemText(s *Snapshot) string {
	if s.Problem == nil {
		return ""
	}
	return s.Problem.Error()
}
