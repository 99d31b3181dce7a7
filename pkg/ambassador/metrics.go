package ambassador

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/relay"
)

// metrics are what is counted of all clients. Whatever is a label is one of a
// closed set: what a client or a server sends only chooses among them.
type metrics struct {
	unrouted *counts // requests refused before it was known which connector they are for
	refused  [len(refusals)]atomic.Int64
}

// refusals are why a CONNECT is refused, as far as that is worth telling apart.
var refusals = [...]struct {
	code   int
	reason string
}{
	{http.StatusBadRequest, "bad_request"},
	{http.StatusProxyAuthRequired, "unauthenticated"},
	{http.StatusForbidden, "forbidden"},
	{http.StatusServiceUnavailable, "no_token"},
	{0, "unreachable"}, // all others
}

// refuseConnect counts a CONNECT that is answered with code.
func (m *metrics) refuseConnect(code int) {
	i := 0
	for i < len(refusals)-1 && refusals[i].code != code {
		i++
	}
	m.refused[i].Add(1)
}

// verbs are the values of that label: the methods of the API, and two more.
var verbs = append(slices.Clone(methods), "watch", "other")

var (
	verbWatch = len(methods)
	verbOther = len(methods) + 1
)

// The codes of answers that are counted each for itself.
const (
	firstCode = 100
	lastCode  = 599
	codeNone  = lastCode - firstCode + 1 // the client was not answered
	codeOther = codeNone + 1
)

// buckets are the upper bounds of the durations. A request to a near API server
// takes a few milliseconds, of which the sidecar's part is some tenths of one.
var buckets = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// counts are what is counted of the requests of one connector: a counter for
// each combination of labels, so that counting looks up and allocates nothing.
// A nil one counts nothing.
type counts struct {
	requests     [][codeOther + 1]atomic.Int64 // by verb
	bytes        atomic.Int64
	inFlight     atomic.Int64
	unauthorized atomic.Int64 // requests sent again with a new token
	durations    [len(buckets) + 1]atomic.Int64
	durationSum  atomic.Int64 // nanoseconds
}

func newCounts() *counts {
	return &counts{requests: make([][codeOther + 1]atomic.Int64, len(verbs))}
}

// begin is called with a request, and end with what became of it.
func (c *counts) begin() time.Time {
	c.inFlight.Add(1)
	return time.Now()
}

func (c *counts) end(x *relay.Exchange, start time.Time) {
	c.inFlight.Add(-1)
	verb := verbOf(x.Request)
	c.add(verb, x.Status(), x.Bytes())
	if verb == verbWatch || x.Status() == http.StatusSwitchingProtocols {
		return // these last as long as their clients want
	}
	duration := time.Since(start)
	c.durationSum.Add(int64(duration))
	i := 0
	for i < len(buckets) && duration > buckets[i] {
		i++
	}
	c.durations[i].Add(1)
}

// add counts a request and its answer.
func (c *counts) add(verb, code int, bytes int64) {
	if c == nil {
		return
	}
	i := code - firstCode
	switch {
	case code == 0:
		i = codeNone
	case code < firstCode || code > lastCode:
		i = codeOther
	}
	c.requests[verb][i].Add(1)
	c.bytes.Add(bytes)
}

// retryUnauthorized counts a request that is sent again with a new token.
func (c *counts) retryUnauthorized() {
	if c != nil {
		c.unauthorized.Add(1)
	}
}

func verbOf(req *http.Request) int {
	if req.Method == http.MethodGet && isWatch(req.URL.RawQuery) {
		return verbWatch
	}
	if i := slices.Index(methods, req.Method); i >= 0 {
		return i
	}
	return verbOther
}

// isWatch reads a query as the API server does: the first value counts, and
// there are two that mean no.
func isWatch(query string) bool {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if name, value, _ := strings.Cut(pair, "="); name == "watch" {
			return value != "0" && !strings.EqualFold(value, "false")
		}
	}
	return false
}
