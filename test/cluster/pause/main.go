// Pause is what a Pod's sandbox runs: it holds the Pod's namespaces, ends when
// asked to, and reaps the orphans of a Pod with a shared process namespace,
// where it is process 1.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		// One signal may stand for many children.
		for pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid > 0 || err == syscall.EINTR; {
			pid, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
