package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hideMemory keeps other processes of the same user from reading the memory of
// this one, and the kernel from dumping it.
func hideMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hiding the memory of this process: %w", err)
	}
	return nil
}
