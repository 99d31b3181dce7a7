package proxybench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Report is what Measure has measured.
type Report struct {
	Requests []Requests
	Watches  []Watches
	Bulk     []Bulk
}

// Requests are the figures of one proxy at one number of connections.
type Requests struct {
	Proxy       string `json:"proxy"`
	Mode        string `json:"mode"`
	Connections int    `json:"connections"`
	CPU         figure `json:"cpu_us_per_request"`
	P50         figure `json:"p50_us"`
	P99         figure `json:"p99_us"`
	RSSIdle     figure `json:"rss_idle_kb"`
	// RSS is the memory while the connections are open. Memory once taken is
	// hardly given back between rounds: what counts is the row with the most.
	RSS figure `json:"rss_kb"`
	// ToHAProxy is CPU beside HAProxy's.
	ToHAProxy figure `json:"ratio_to_haproxy"`

	toKubectl, p50ToHAProxy figure
}

// Watches are the figures of one proxy with idle watches.
type Watches struct {
	Proxy   string `json:"proxy"`
	Mode    string `json:"mode"`
	Watches int    `json:"watches"`
	RSSIdle figure `json:"rss_idle_kb"`
	RSS     figure `json:"rss_kb"`
	RSSEach figure `json:"rss_kb_per_watch"`
	// ToHAProxy is RSSEach beside HAProxy's.
	ToHAProxy figure `json:"ratio_to_haproxy"`
	// Event is how long an event takes to reach all watches; ToDirect compares
	// that with as many watches without a proxy.
	Event    figure `json:"event_ms"`
	ToDirect figure `json:"event_ratio_to_direct"`
	// Error says why figures are missing.
	Error string `json:"error,omitempty"`
}

// Bulk are the figures of one proxy with one large response.
type Bulk struct {
	Proxy     string `json:"proxy"`
	Mode      string `json:"mode"`
	Bytes     int64  `json:"bytes"`
	Speed     figure `json:"mb_per_s"`
	ToHAProxy figure `json:"ratio_to_haproxy"`
	RSSIdle   figure `json:"rss_idle_kb"`
	// RSSSlow is the memory while the client reads slowly.
	RSSSlow figure `json:"rss_slow_reader_kb"`
}

// Write writes the figures to files in dir.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, rows := range map[string]any{"proxy.json": r.Requests, "proxy-watches.json": r.Watches, "proxy-bulk.json": r.Bulk} {
		content, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(content, '\n'), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "proxy.svg"), plot(r.Requests), 0o644)
}

// Print prints the figures for people.
func (r *Report) Print(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)}
	t.row("requests", "mode", "connections", "CPU, µs", "p50, µs", "p99, µs", "CPU/HAProxy", "bound", "CPU/kubectl", "bound", "p50/HAProxy", "RSS idle, MB", "RSS, MB")
	for _, q := range r.Requests {
		most := "1.3"
		if q.Connections == 1 {
			most = "1.0"
		}
		t.row(q.Proxy, q.Mode, fmt.Sprint(q.Connections), q.CPU.text("%.1f"), q.P50.text("%.0f"), q.P99.text("%.0f"),
			q.ToHAProxy.text("%.2f"), bound(most, q.Proxy), q.toKubectl.text("%.2f"), bound("0.4", q.Proxy), q.p50ToHAProxy.text("%.2f"), mb(q.RSSIdle), mb(q.RSS))
	}
	t.row()
	t.row("idle watches", "mode", "watches", "RSS idle, MB", "RSS, MB", "kB each", "/HAProxy", "bound", "event to all, ms", "/direct", "bound")
	var failed []string
	for _, q := range r.Watches {
		if q.Error != "" {
			failed = append(failed, fmt.Sprintf("%s, %s: %s", q.Proxy, q.Mode, q.Error))
		}
		t.row(q.Proxy, q.Mode, fmt.Sprint(q.Watches), mb(q.RSSIdle), mb(q.RSS),
			q.RSSEach.text("%.0f"), q.ToHAProxy.text("%.2f"), bound("1.0", q.Proxy), q.Event.text("%.1f"), q.ToDirect.text("%.2f"), bound("2.0", q.Proxy))
	}
	for _, reason := range failed {
		fmt.Fprintln(t, reason)
	}
	t.row()
	t.row("bulk", "mode", "MiB", "MB/s", "/HAProxy", "bound", "RSS idle, MB", "RSS, slow reader, MB")
	for _, q := range r.Bulk {
		t.row(q.Proxy, q.Mode, fmt.Sprint(q.Bytes>>20), q.Speed.text("%.0f"), q.ToHAProxy.text("%.2f"), bound("0.9", q.Proxy), mb(q.RSSIdle), mb(q.RSSSlow))
	}
	return t.Flush()
}

// bound is shown beside the figures of our own.
func bound(value, proxy string) string {
	if proxy == ours {
		return value
	}
	return ""
}

func mb(kilobytes figure) string { return (kilobytes * 1024 / 1e6).text("%.1f") }

type table struct{ *tabwriter.Writer }

func (t table) row(cells ...string) {
	for _, cell := range cells {
		fmt.Fprint(t, cell, "\t")
	}
	fmt.Fprintln(t)
}
