// Bench measures what the sidecar costs: its memory, the time until it listens,
// the size of its binary, what a request through it costs beside other proxies,
// what the admission of a Pod costs beside other webhooks, what the controller
// takes for ten thousand Connectors, and what injection adds to the start of a Pod
// on a real kubelet.
//
// Figures of one machine say little by themselves; proxies are measured in turn,
// and so are Pods with a sidecar and without, and their ratios and differences
// count. Figures about proxies, webhooks and the controller go to bench/out, too.
package main

import (
	"context"
	"flag"
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

	"github.com/kube-connector/kube-connector/bench/admissionbench"
	"github.com/kube-connector/kube-connector/bench/controllerbench"
	"github.com/kube-connector/kube-connector/bench/proxybench"
)

// outDir is where figures are written to, below the root of the repository.
const outDir = "bench/out"

func main() {
	only := flag.String("only", "", "measure only this `part`: process, proxy, admission, controller or pods")
	connectors := flag.Int("connectors", controllerbench.Connectors, "how many Connectors the controller is measured with")
	flag.Parse()
	if err := run(*only, *connectors, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part is one thing that is measured. It prints its table at its end.
type part struct {
	name    string
	measure func(ctx context.Context, out, progress io.Writer) error
}

func run(only string, connectors int, out, progress io.Writer) error {
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	known := only == ""
	for _, part := range []part{
		{"process", reportProcess},
		{"proxy", reportProxy},
		{"admission", reportAdmission},
		{"controller", func(ctx context.Context, out, progress io.Writer) error {
			return reportController(ctx, connectors, out, progress)
		}},
		{"pods", reportPods},
	} {
		if only != "" && only != part.name {
			continue
		}
		known = true
		if err := part.measure(ctx, out, progress); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintln(out)
	}
	if !known {
		return fmt.Errorf("there is no part %q; the parts are process, proxy, admission, controller and pods", only)
	}
	return nil
}

func reportProcess(ctx context.Context, out, progress io.Writer) error {
	process, err := measureProcess(ctx, progress)
	if err != nil {
		return err
	}
	return printTable(out,
		[]any{"sidecar", "median", "min", "max", "bound"},
		[]any{"idle RSS, MB", megabytes(process.rss).columns("%.1f"), "8"},
		[]any{"exec to listening, ms", milliseconds(process.listening).columns("%.1f"), "15"},
		[]any{"binary, MB", fmt.Sprintf("%.1f\t\t", float64(process.binary)/1e6), "12"})
}

func reportProxy(ctx context.Context, out, progress io.Writer) error {
	report, err := proxybench.Measure(ctx, progress)
	if err != nil {
		return err
	}
	if err := report.Write(outDir); err != nil {
		return err
	}
	return report.Print(out)
}

func reportAdmission(ctx context.Context, out, progress io.Writer) error {
	report, err := admissionbench.Measure(ctx, progress)
	if err != nil {
		return err
	}
	if err := report.Write(outDir); err != nil {
		return err
	}
	return report.Print(out)
}

func reportController(ctx context.Context, connectors int, out, progress io.Writer) error {
	report, err := controllerbench.Measure(ctx, progress, connectors)
	if err != nil {
		return err
	}
	if err := report.Write(outDir); err != nil {
		return err
	}
	return report.Print(out)
}

func reportPods(ctx context.Context, out, progress io.Writer) error {
	pods, err := measurePods(ctx, progress)
	if err != nil {
		return err
	}
	return printTable(out,
		[]any{"Pod's start, ms", "median", "min", "max", "bound"},
		[]any{"without sidecar", milliseconds(pods.plain).columns("%.0f"), ""},
		[]any{"with sidecar", milliseconds(pods.injected).columns("%.0f"), ""},
		[]any{"difference", milliseconds(pods.difference()).columns("%.0f"), "150"})
}

// printTable prints rows of cells as a table.
func printTable(out io.Writer, rows ...[]any) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(table, "%v\t", cell)
		}
		fmt.Fprintln(table)
	}
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
