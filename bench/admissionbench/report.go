package admissionbench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is what Measure has measured.
type Report struct {
	Operations []Operation `json:"operations"`
	Bursts     []Burst     `json:"bursts"`
	Memory     []Memory    `json:"memory"`
}

// Operation are the figures of one operation. Allocations are those of the
// process: with HTTP the client's, too.
type Operation struct {
	Name        string  `json:"name"`
	NS          float64 `json:"ns_per_op"`
	Allocations float64 `json:"allocs_per_op"`
	// Ratio is the time beside that of the handler that allows all.
	Ratio float64 `json:"ratio_to_empty"`

	bound string
}

// Burst are the figures of Pods created through the API server, many at once.
type Burst struct {
	Webhook     string  `json:"webhook"`
	Concurrency int     `json:"concurrency"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	// Mean is how long the API server waited for the webhook.
	Mean float64 `json:"webhook_mean_ms"`
	// P50Ratio and P99Ratio are the latencies beside those with the empty webhook.
	P50Ratio float64 `json:"p50_ratio_to_empty"`
	P99Ratio float64 `json:"p99_ratio_to_empty"`
}

// Memory is the resident memory of the webhook with so many Connectors.
type Memory struct {
	Connectors int `json:"connectors"`
	// Environment is that of Go's runtime, as KEY=value.
	Environment []string `json:"environment"`
	// Peak is the most since its start, RSS once it has settled, Busy after a burst
	// of Pods.
	Peak float64 `json:"peak_mb"`
	RSS  float64 `json:"rss_mb"`
	Busy float64 `json:"rss_after_burst_mb"`
}

// Write writes the figures to a file in dir.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "admission.json"), append(content, '\n'), 0o644)
}

// Print prints the figures for people.
func (r *Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "admission\tµs\tallocations\t/empty\tbound\t")
	for _, o := range r.Operations {
		fmt.Fprintf(table, "%s\t%.1f\t%.0f\t%.2f\t%s\t\n", o.Name, o.NS/1e3, o.Allocations, o.Ratio, o.bound)
	}
	fmt.Fprintln(table, "\nPods created\tat once\tp50, ms\tp99, ms\twebhook, mean ms\tp50/empty\tp99/empty\t")
	for _, b := range r.Bursts {
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t\n", b.Webhook, b.Concurrency, b.P50, b.P99, b.Mean, b.P50Ratio, b.P99Ratio)
	}
	fmt.Fprintln(table, "\nConnectors\tenvironment\tpeak, MB\tRSS, MB\tafter a burst, MB\tbound\t")
	for _, m := range r.Memory {
		fmt.Fprintf(table, "%d\t%s\t%.1f\t%.1f\t%.1f\t64\t\n", m.Connectors, strings.Join(m.Environment, " "), m.Peak, m.RSS, m.Busy)
	}
	return table.Flush()
}

func median(figures []float64) float64 { return quantile(figures, 0.5) }

// quantile of figures in any order, for q from 0 to 1.
func quantile(figures []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[int(q*float64(len(sorted)-1))]
}

// ratio is the median of the ratios of figures of the same round.
func ratio(of, to []float64) float64 {
	ratios := make([]float64, 0, len(of))
	for i := range of {
		ratios = append(ratios, of[i]/to[i])
	}
	return median(ratios)
}
