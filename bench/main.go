// Bench measures what the sidecar costs: its memory, the time until it listens,
// the size of its binary, and what injection adds to the start of a Pod on a
// real kubelet.
//
// Figures of one machine say little by themselves; the Pod with a sidecar and
// the one without are measured in turn, and their difference counts.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	if err := run(os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out, progress io.Writer) error {
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	process, err := measureProcess(ctx, progress)
	if err != nil {
		return err
	}
	pods, err := measurePods(ctx, progress)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, cell := range cells {
			fmt.Fprintf(table, "%v\t", cell)
		}
		fmt.Fprintln(table)
	}
	row("sidecar", "median", "min", "max", "bound")
	row("idle RSS, MB", megabytes(process.rss).columns("%.1f"), "10")
	row("exec to listening, ms", milliseconds(process.listening).columns("%.1f"), "30")
	row("binary, MB", fmt.Sprintf("%.1f\t\t", float64(process.binary)/1e6), "12")
	row("Pod's start, ms", "", "", "", "")
	row("without sidecar", milliseconds(pods.plain).columns("%.0f"), "")
	row("with sidecar", milliseconds(pods.injected).columns("%.0f"), "")
	row("difference", milliseconds(pods.difference()).columns("%.0f"), "150")
	return table.Flush()
}

// figures are measurements of one thing.
type figures []float64

func milliseconds(durations []time.Duration) figures {
	var f figures
	for _, d := range durations {
		f = append(f, float64(d)/float64(time.Millisecond))
	}
	return f
}

func megabytes(bytes []int) figures {
	var f figures
	for _, b := range bytes {
		f = append(f, float64(b)/1e6)
	}
	return f
}

// columns are median, minimum and maximum.
func (f figures) columns(format string) string {
	sorted := slices.Sorted(slices.Values(f))
	return fmt.Sprintf(format+"\t"+format+"\t"+format, sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}
