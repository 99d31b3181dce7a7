package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// lock is an exclusive lock on a file. The kernel releases it with the process,
// however that ends.
type lock struct{ file *os.File }

// ours are the locks of this process. A lock that nobody referred to any more
// would be given up by the garbage collector, which closes files.
var ours sync.Map

// heldError says that somebody else has the lock.
type heldError struct{ holder string }

func (e *heldError) Error() string { return "held by " + e.holder }

// tryLock takes the lock at path, or fails with a heldError that names who has
// it, as far as that is known.
func tryLock(path string) (*lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the last one to leave has just removed the directory
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			holder, readErr := os.ReadFile(path)
			err = errors.Join(err, readErr, file.Close())
			if errors.Is(err, unix.EWOULDBLOCK) && readErr == nil {
				return nil, &heldError{holder: strings.TrimSpace(string(holder))}
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// A holder removes the file when it is done with it. A lock on a file
		// that is no longer at path locks nobody out: try again.
		if !stillAt(file, path) {
			_ = file.Close()
			continue
		}
		content := fmt.Sprintf("process %d (%s)\n", os.Getpid(), strings.Join(os.Args, " "))
		err = file.Truncate(0)
		if err == nil {
			_, err = file.WriteAt([]byte(content), 0)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		l := &lock{file: file}
		ours.Store(l, nil)
		return l, nil
	}
}

func stillAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// release gives the lock up and removes its file, and the directory if it was
// the last thing in it.
func (l *lock) release() error {
	ours.Delete(l)
	err := os.Remove(l.file.Name())
	// Fails as long as anything else is in there.
	_ = os.Remove(filepath.Dir(l.file.Name()))
	return errors.Join(err, l.file.Close())
}
