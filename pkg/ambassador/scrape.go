package ambassador

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/kube-connector/kube-connector/internal/version"
)

// Bounds on who reads metrics, who may be anybody.
const (
	maxScrapers       = 8
	maxScrapeHeader   = 4 << 10
	scrapeTimeout     = 10 * time.Second
	idleScrapeTimeout = 2 * time.Minute // longer than Prometheus waits between two
)

// newScrapeServer serves metrics, and nothing else.
func (a *Ambassador) newScrapeServer() *http.Server {
	return &http.Server{
		Handler:                      http.HandlerFunc(a.scrape),
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  scrapeTimeout,
		WriteTimeout:                 scrapeTimeout,
		IdleTimeout:                  idleScrapeTimeout,
		MaxHeaderBytes:               maxScrapeHeader,
		ErrorLog:                     serverLog(a.log),
		DisableGeneralOptionsHandler: true,
	}
}

func (a *Ambassador) scrape(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/metrics":
		http.Error(w, "there is /metrics only", http.StatusNotFound)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "metrics are read with GET", http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(a.exposition()) // without a client nobody is left to tell
	}
}

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// exposition is all metrics in the text format of Prometheus. Its libraries would
// make every sidecar larger by megabytes.
func (a *Ambassador) exposition() []byte {
	p := &page{}
	p.family("kube_connector_build_info", gauge, "Always 1; the labels say which program this is, and what it was built as and with.")
	fmt.Fprintf(p, "kube_connector_build_info{program=\"sidecar\",version=%q,go_version=%q} 1\n", version.String(), runtime.Version())

	p.family(metricPrefix+"requests_total", counter, "Requests that have ended, by connector, method (or watch) and code of the answer.")
	p.requests("", a.metrics.unrouted)
	for _, r := range a.routes {
		p.requests(r.ref.String(), r.counts)
	}
	p.family(metricPrefix+"request_duration_seconds", histogram, "How long requests took, from their header to the end of the answer; without watches and upgrades.")
	for _, r := range a.routes {
		p.durations(r.ref.String(), r.counts)
	}
	p.family(metricPrefix+"response_bytes_total", counter, "Bytes sent to clients as bodies of answers and over upgraded connections, of requests that have ended.")
	p.sample("response_bytes_total{connector=\"\"} %d", a.metrics.unrouted.bytes.Load())
	a.each(p, "response_bytes_total", func(r *route) int64 { return r.counts.bytes.Load() })
	p.family(metricPrefix+"requests_in_flight", gauge, "Requests that are being served, watches and upgraded connections included.")
	a.each(p, "requests_in_flight", func(r *route) int64 { return r.counts.inFlight.Load() })
	p.family(metricPrefix+"client_connections", gauge, "Connections of clients that are open, on all ports.")
	p.sample("client_connections %d", a.connections.Load())
	p.family(metricPrefix+"connects_refused_total", counter, "CONNECT requests that were refused, by reason.")
	for i := range refusals {
		p.sample("connects_refused_total{reason=%q} %d", refusals[i].reason, a.metrics.refused[i].Load())
	}
	p.family(metricPrefix+"upstream_connections", gauge, "Connections to the API server that are open, idle ones included.")
	a.each(p, "upstream_connections", func(r *route) int64 { return r.upstreams.counts.Open.Load() })
	p.family(metricPrefix+"upstream_handshakes_total", counter, "TLS handshakes with the API server that succeeded.")
	a.each(p, "upstream_handshakes_total", func(r *route) int64 { return r.upstreams.counts.Handshakes.Load() })
	p.family(metricPrefix+"upstream_retries_total", counter, "Requests that were sent again, by reason: the connection was dead, or the token was refused and there was a new one.")
	for _, r := range a.routes {
		p.sample("upstream_retries_total{connector=%q,reason=\"connection\"} %d", r.ref, r.upstreams.counts.Retries.Load())
		p.sample("upstream_retries_total{connector=%q,reason=\"unauthorized\"} %d", r.ref, r.counts.unauthorized.Load())
	}
	p.family(metricPrefix+"token_age_seconds", gauge, "Time since the token in use was first seen; nothing while there is none.")
	for _, r := range a.routes {
		if since := r.tokenSince.Load(); since != nil && r.source.Current().Token != "" {
			p.sample("token_age_seconds{connector=%q} %g", r.ref, time.Since(*since).Seconds())
		}
	}
	return p.Bytes()
}

// each has one sample for each connector.
func (a *Ambassador) each(p *page, name string, value func(*route) int64) {
	for _, r := range a.routes {
		p.sample("%s{connector=%q} %d", name, r.ref, value(r))
	}
}

// page is what is written for one scrape.
type page struct{ bytes.Buffer }

const metricPrefix = "kube_connector_sidecar_"

func (p *page) family(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n", name, help, kind)
}

// sample writes a line. Labels are names and constants: %q has nothing to escape.
func (p *page) sample(format string, args ...any) {
	fmt.Fprintf(p, metricPrefix+format+"\n", args...)
}

func (p *page) requests(connector string, c *counts) {
	for verb := range c.requests {
		for i := range c.requests[verb] {
			n := c.requests[verb][i].Load()
			if n == 0 {
				continue
			}
			code := strconv.Itoa(firstCode + i)
			switch i {
			case codeNone:
				code = "none"
			case codeOther:
				code = "other"
			}
			p.sample("requests_total{connector=%q,verb=%q,code=%q} %d", connector, verbs[verb], code, n)
		}
	}
}

func (p *page) durations(connector string, c *counts) {
	total := int64(0)
	for i := range c.durations {
		total += c.durations[i].Load()
		bound := "+Inf"
		if i < len(buckets) {
			bound = strconv.FormatFloat(buckets[i].Seconds(), 'g', -1, 64)
		}
		p.sample("request_duration_seconds_bucket{connector=%q,le=%q} %d", connector, bound, total)
	}
	p.sample("request_duration_seconds_sum{connector=%q} %g", connector, time.Duration(c.durationSum.Load()).Seconds())
	p.sample("request_duration_seconds_count{connector=%q} %d", connector, total)
}
