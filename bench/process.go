package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kube-connector/kube-connector/bench/sidecar"
)

const processRuns = 20

// processFigures are those of the sidecar as a process of its own.
type processFigures struct {
	rss       []int // bytes
	listening []time.Duration
	binary    int64 // bytes
}

// measureProcess builds the sidecar as the image has it, and starts it several
// times.
func measureProcess(ctx context.Context, progress io.Writer) (processFigures, error) {
	var f processFigures
	dir, err := os.MkdirTemp("", "kube-connector-bench-")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, err := sidecar.Build(ctx, dir)
	if err != nil {
		return f, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return f, err
	}
	f.binary = info.Size()
	fmt.Fprintf(progress, "starting the sidecar %d times\n", processRuns)
	for i := range processRuns {
		listening, rss, err := startOnce(ctx, binary, filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return f, err
		}
		f.listening = append(f.listening, listening)
		f.rss = append(f.rss, rss)
	}
	return f, nil
}

func startOnce(ctx context.Context, binary, dir string) (listening time.Duration, rss int, err error) {
	s, err := sidecar.Start(ctx, binary, dir, "https://192.0.2.1:6443", "token", nil)
	if err != nil {
		return 0, 0, err
	}
	defer s.Stop()
	rss, err = s.SettledRSS(ctx)
	return s.Listening, rss, err
}
