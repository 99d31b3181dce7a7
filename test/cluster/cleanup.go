package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cleanTimeout bounds each step of removing an instance. Killed processes
// usually end in milliseconds; those that write to a slow disk need longer.
const cleanTimeout = 30 * time.Second

// remove takes away whatever there is of an instance: after a clean Up, after
// half an Up, or after nothing at all.
func remove(ctx context.Context, i instance) error {
	e, err := evidenceOf(i)
	if err != nil {
		return err
	}
	// Killed together and repeatedly: whoever was just about to start another
	// process is dead in the next round.
	err = poll(ctx, cleanTimeout, func(context.Context) error { return kill(e) })
	if err != nil {
		return fmt.Errorf("stop processes: %w", err)
	}
	// The node's mounts went with its last process. These are those that were
	// made in the machine's own namespace.
	if err := unmount(i); err != nil {
		return err
	}
	if err := poll(ctx, cleanTimeout, func(context.Context) error { return removeCgroup(i) }); err != nil {
		return fmt.Errorf("remove cgroups: %w", err)
	}
	if err := poll(ctx, cleanTimeout, func(ctx context.Context) error { return removeNetwork(ctx, i) }); err != nil {
		return fmt.Errorf("remove network: %w", err)
	}
	if err := errors.Join(os.RemoveAll(i.runDir()), os.RemoveAll(i.dataDir())); err != nil {
		return err
	}
	// Fails as long as another instance is in there.
	_ = os.Remove(dataRoot)
	return nil
}

// kill kills the processes of the instance, and returns nil if there are none.
func kill(e evidence) error {
	found, err := e.processes()
	if err != nil || len(found) == 0 {
		return err
	}
	var names []string
	for _, f := range found {
		names = append(names, fmt.Sprintf("%s (%d)", f.name, f.pid))
		p, err := os.FindProcess(f.pid)
		if err != nil {
			continue
		}
		// p now stands for one process even if its number is given to another;
		// make sure that it is still one of ours.
		if e.holds(f.pid) {
			_ = p.Kill() // it has ended, or is still there in the next round
		}
		_ = p.Release()
	}
	return fmt.Errorf("still running: %s", strings.Join(names, ", "))
}

// unmount unmounts everything below the instance's directories, innermost
// first.
func unmount(i instance) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(all) {
		if !below(m.point, i.runDir()) && !below(m.point, i.dataDir()) {
			continue
		}
		if err := unix.Unmount(m.point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m.point, err)
		}
	}
	return nil
}
