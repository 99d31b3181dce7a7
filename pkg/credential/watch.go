package credential

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// resyncPeriod bounds how long a lost notification can go unnoticed.
	resyncPeriod = time.Minute
	// pollPeriod is how often the files are read while there is something that
	// cannot be watched: a directory that does not exist yet, or no inotify
	// instance (all sidecars of a node run as one UID and share its 128).
	pollPeriod = time.Second
)

// Run keeps all sources current until ctx is done.
func (d *Directory) Run(ctx context.Context) {
	// One watcher for all sources: inotify instances are scarce. Without one,
	// both channels are nil and only the timer is left.
	var events chan fsnotify.Event
	var failures chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Warn("cannot watch the credentials, reading them every second instead", "error", err.Error())
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case err := <-failures:
			d.log.Warn("watching the credentials", "error", err.Error())
		case <-timer.C:
		}
		// Watch first, read then: what changes in between is seen by the watch.
		period := resyncPeriod
		if !d.watch(watcher) {
			period = pollPeriod
		}
		for _, s := range d.sources {
			s.Reload()
		}
		timer.Reset(period)
	}
}

// watch watches every directory in which a change can show: the root, where
// the kubelet swaps ..data if the volume is mounted there, down to those of
// the connectors. Each swap makes new directories below, so it is called after
// each event. It reports whether everything is watched.
func (d *Directory) watch(watcher *fsnotify.Watcher) bool {
	if watcher == nil {
		return false
	}
	complete := true
	for _, s := range d.sources {
		dir := filepath.Join(s.root, s.sub)
		for _, path := range []string{s.root, filepath.Dir(dir), dir} {
			if err := watcher.Add(path); err != nil {
				complete = false
			}
		}
	}
	return complete
}
