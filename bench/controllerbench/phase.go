package controllerbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kube-connector/kube-connector/bench/proc"
)

// reading is what has been used and asked for until a point in time.
type reading struct {
	at                    time.Time
	cpu, targets          time.Duration
	machine               proc.Machine
	controller            *proc.Process
	api, probes           counts
	accepted, connections int
}

func (b *bed) read(ctx context.Context) (r reading, err error) {
	r.at, r.controller = time.Now(), b.controller
	if b.controller != nil {
		if r.cpu, err = b.controller.CPUTime(); err != nil {
			return r, err
		}
	}
	if r.targets, err = b.targets.CPUTime(); err != nil {
		return r, err
	}
	if r.machine, err = proc.MachineCPUTime(); err != nil {
		return r, err
	}
	if r.api, err = b.audit.read(); err != nil {
		return r, err
	}
	var of struct {
		Requests       map[string]int
		Accepted, Open int
	}
	if err := getJSON(ctx, b.asked, &of); err != nil {
		return r, err
	}
	r.accepted, r.connections, r.probes = of.Accepted, of.Open, counts{}
	for request, n := range of.Requests {
		verb, path, _ := strings.Cut(request, " ")
		r.probes[asked{verb, path}] = n
	}
	return r, nil
}

// measure measures what is used while something is done.
func (b *bed) measure(ctx context.Context, name string, do func() error) (Phase, error) {
	p := Phase{Name: name}
	before, err := b.read(ctx)
	if err != nil {
		return p, err
	}
	if err := do(); err != nil {
		return p, err
	}
	took := time.Since(before.at).Seconds()
	after, err := b.read(ctx)
	if err != nil {
		return p, err
	}
	if before.controller != nil && after.controller != before.controller {
		before.cpu = 0 // with what has ended goes what it has used
	} else {
		p.Together = (after.machine.Together - before.machine.Together).Seconds()
		p.Others = (after.machine.Others - before.machine.Others).Seconds() / took
	}
	p.Stolen = (after.machine.Stolen - before.machine.Stolen).Seconds() / took
	p.Seconds = took
	p.CPU = (after.cpu - before.cpu).Seconds()
	p.Core = 100 * p.CPU / took
	p.TargetsCPU = (after.targets - before.targets).Seconds()
	p.API = after.api.since(before.api, took)
	for _, r := range p.API {
		if r.Verb != "get" && r.Verb != "list" && r.Verb != "watch" && r.Resource != "leases" {
			p.Writes += r.Count
		}
	}
	p.Probes = after.probes.since(before.probes, took)
	p.Connected, p.Connections = after.accepted-before.accepted, after.connections
	rss, err := b.controller.RSS()
	if err != nil {
		return p, err
	}
	anonymous, err := b.controller.AnonymousRSS()
	if err != nil {
		return p, err
	}
	peak, err := b.controller.PeakRSS()
	p.RSS, p.Anonymous, p.Peak = float64(rss)/1e6, float64(anonymous)/1e6, float64(peak)/1e6
	return p, err
}

// awaitLookedAt waits until the controller has looked at all Connectors once and
// has none to look at again.
func (b *bed) awaitLookedAt(ctx context.Context, count int) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		text, err := getMetrics(ctx, "http://"+b.metrics+"/metrics")
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		looks, err := sum(text, "controller_runtime_reconcile_total")
		if err != nil {
			return false, err
		}
		waiting, err := sum(text, "workqueue_depth")
		return looks >= float64(count) && waiting == 0, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the controller to look at all Connectors: %w", err)
	}
	return nil
}

// sum adds a metric of the controller of Connectors up.
func sum(metrics, name string) (float64, error) {
	total := 0.0
	for line := range strings.SplitSeq(metrics, "\n") {
		if !strings.HasPrefix(line, name+"{") || !strings.Contains(line, `controller="connector"`) {
			continue
		}
		_, text, _ := strings.Cut(line, "} ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, err
		}
		total += value
	}
	return total, nil
}

func getMetrics(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(response.Body)
	return string(content), errors.Join(err, response.Body.Close())
}
