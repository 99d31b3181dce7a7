package controllerbench

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
	Connectors int `json:"connectors"`
	Namespaces int `json:"namespaces"`
	Targets    int `json:"targets"`
	// Processors are those of the machine.
	Processors int `json:"processors"`
	// LoadBefore and LoadAfter are the machine's load averages, the second one with
	// all that is measured.
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
	// Creating is the CPU time that it took all processes of the bench to create the
	// objects: always the same work without the controller, so it says how fast the
	// machine is right now.
	Creating float64 `json:"creating_cpu_s"`
	Phases   []Phase `json:"phases"`
	Changes  Changes `json:"secret_changes"`
}

// Phase are the figures of one part of the controller's life.
type Phase struct {
	Name    string  `json:"phase"`
	Seconds float64 `json:"seconds"`
	// CPU is what the controller's process has used, Core that beside the time, and
	// TargetsCPU what all targets have used.
	CPU        float64 `json:"cpu_s"`
	Core       float64 `json:"cpu_percent_of_core"`
	TargetsCPU float64 `json:"targets_cpu_s"`
	// Together is what all processes of the bench have used, the API server and etcd
	// most of all, and Others how many processors were busy with anything else. They
	// are not known of a phase in which a process ends.
	Together float64 `json:"together_cpu_s,omitempty"`
	Others   float64 `json:"others_processors,omitempty"`
	// Stolen is how many processors' time the host did not give although there was
	// something to do.
	Stolen float64 `json:"stolen_processors"`
	// RSS is the resident memory at the end of the phase, Anonymous what of it is not
	// the program file, and Peak the most since the controller's start.
	RSS       float64 `json:"rss_mb"`
	Anonymous float64 `json:"anonymous_rss_mb"`
	Peak      float64 `json:"peak_rss_mb"`
	// API is what was asked of the API server, and Writes how many of that were
	// writes, but for the Lease.
	API    []Requests `json:"api_server"`
	Writes int        `json:"writes"`
	// Probes is what was asked of the targets, on Connected new connections;
	// Connections are those open at the end.
	Probes      []Requests `json:"targets"`
	Connected   int        `json:"new_connections"`
	Connections int        `json:"open_connections"`
}

// Requests are those of one kind. Those to targets have a path for a resource.
type Requests struct {
	Verb      string  `json:"verb"`
	Resource  string  `json:"resource"`
	Count     int     `json:"count"`
	PerMinute float64 `json:"per_minute"`
}

// Changes are how long it took until a changed Secret was seen in a status, in
// seconds.
type Changes struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_s"`
	P99     float64 `json:"p99_s"`
	Max     float64 `json:"max_s"`
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
	return os.WriteFile(filepath.Join(dir, "controller.json"), append(content, '\n'), 0o644)
}

// Print prints the figures for people.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%d Connectors in %d namespaces, %d targets; %d processors, load average %.1f before, %.1f after; creating them took %.0f s of CPU\n\n",
		r.Connectors, r.Namespaces, r.Targets, r.Processors, r.LoadBefore, r.LoadAfter, r.Creating)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "controller\ts\tCPU, s\t% of a core\tRSS, MB\tno file, MB\tpeak, MB\twrites\tnew connections\topen\ttargets' CPU, s\tall, CPU, s\tothers, processors\tstolen\t")
	for _, p := range r.Phases {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t\n", p.Name, p.Seconds, p.CPU, p.Core,
			p.RSS, p.Anonymous, p.Peak, p.Writes, p.Connected, p.Connections, p.TargetsCPU, p.Together, p.Others, p.Stolen)
	}
	fmt.Fprintln(table, "bounds\t120 to start\t\t5 steady\t150\t\t150\tnear none\t\t\t\t\t\t\t")
	fmt.Fprintln(table, "\na Secret's change in the status\tsamples\tp50, s\tp99, s\tmax, s\tbound\t")
	fmt.Fprintf(table, "\t%d\t%.2f\t%.2f\t%.2f\tp99 2 s\t\n", r.Changes.Samples, r.Changes.P50, r.Changes.P99, r.Changes.Max)
	fmt.Fprintln(table, "\nrequests\tto\tverb\twhat\tcount\ta minute\t")
	for _, p := range r.Phases {
		for _, to := range []struct {
			name string
			rows []Requests
		}{{"API server", p.API}, {"targets", p.Probes}} {
			for _, q := range to.rows {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%.1f\t\n", p.Name, to.name, q.Verb, q.Resource, q.Count, q.PerMinute)
			}
		}
	}
	return table.Flush()
}
