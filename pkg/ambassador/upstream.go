package ambassador

import (
	"crypto/tls"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// Bounds on the way to the API server. There is none on the time to a response:
// a request may wait for one as long as its client does.
const (
	dialTimeout       = 10 * time.Second // TLS handshake included
	idleTimeout       = 45 * time.Second // shorter than servers and load balancers keep them
	maxIdle           = 128
	maxResponseHeader = 1 << 20
)

// upstream is where requests go, and with what token. Address, trust and token
// are of one Snapshot, so that a token never goes to the address of another.
type upstream struct {
	snapshot *credential.Snapshot
	address  connector.Address
	pool     *relay.Pool
}

// pin makes a request one for its upstream, with a token. What the client's
// Connection header named is gone by then, so the token stays.
func (up *upstream) pin(req *http.Request, token credential.Token) {
	req.URL.Scheme = "https"
	// The host as a person would write it: some gateways in front of an API
	// server know themselves without the default port only.
	req.URL.Host = strings.TrimSuffix(up.address.Authority(), ":"+defaultPort)
	req.Host = ""
	rewriteHeader(req.Header, string(token))
}

// forward sends a request on. If the server refuses the token, it looks once
// whether there is a new one by now.
func (r *route) forward(x *relay.Exchange, up *upstream) (*http.Response, error) {
	// A body is gone once it was sent.
	again := (x.Request.Method == http.MethodGet || x.Request.Method == http.MethodHead) && x.Request.Body == http.NoBody
	resp, err := x.Forward(up.pool, func(req *http.Request) { up.pin(req, up.snapshot.Token) })
	if err != nil {
		return nil, err
	}
	r.outage.end()
	if !refused(resp) {
		return resp, nil
	}
	fresh := r.source.Current()
	if fresh == up.snapshot {
		fresh = r.source.Reload()
	}
	// The path has been made for the old address, so a new one is not for this
	// request.
	if !again || fresh.Token == "" || fresh.Token == up.snapshot.Token || !up.reaches(fresh, r.addressOf(fresh)) {
		return resp, nil
	}
	r.counts.retryUnauthorized()
	x.Discard(resp)
	return x.Forward(up.pool, func(req *http.Request) { up.pin(req, fresh.Token) })
}

// upstreams keeps the current upstream of a route.
type upstreams struct {
	current atomic.Pointer[upstream]
	mu      sync.Mutex // held to replace it
	counts  relay.Counts
}

// of is the upstream for a Snapshot. The error says, to a person, what is
// missing.
func (u *upstreams) of(s *credential.Snapshot, address connector.Address) (*upstream, error) {
	if s.Token == "" {
		return nil, s.Problem
	}
	if up := u.current.Load(); up != nil && up.snapshot == s {
		return up, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.current.Load()
	if old != nil && old.snapshot == s {
		return old, nil
	}
	up := &upstream{snapshot: s, address: address}
	if old != nil && old.reaches(s, address) {
		up.pool = old.pool // a new token costs no connection
	} else {
		up.pool = newPool(s.CA, address)
		up.pool.Counts = &u.counts
		if old != nil {
			old.pool.Close()
		}
	}
	u.current.Store(up)
	return up, nil
}

// reaches reports whether the connections of up are good for s, too.
func (up *upstream) reaches(s *credential.Snapshot, address connector.Address) bool {
	return up.snapshot.CA == s.CA && up.address == address
}

// retire closes the idle connections of an upstream that s has made useless,
// for the case that no request comes to do it. Requests in flight go on.
func (u *upstreams) retire(s *credential.Snapshot, address connector.Address) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if up := u.current.Load(); up != nil && (s.Token == "" || !up.reaches(s, address)) {
		u.current.Store(nil)
		up.pool.Close()
	}
}

func (u *upstreams) close() {
	if up := u.current.Load(); up != nil {
		up.pool.Close()
	}
}

// refused reports whether the API server refuses the token. What is behind a proxy
// subresource of the API may answer with 401, too.
func refused(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized && !proxied.MatchString(resp.Request.URL.EscapedPath())
}

var proxied = regexp.MustCompile(`/(?:pods|services|nodes)/[^/]+/proxy(?:/|$)`)

func newPool(ca string, address connector.Address) *relay.Pool {
	return &relay.Pool{
		// No proxy: what the environment names is not who the token is for.
		Address: address.Authority(),
		TLS: &tls.Config{
			RootCAs:    trust(ca),
			ServerName: address.Host(),
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
			// Small records first would make the first answers of a connection two.
			DynamicRecordSizingDisabled: true,
		},
		DialTimeout:    dialTimeout,
		IdleTimeout:    idleTimeout,
		MaxIdle:        maxIdle,
		ResponseHeader: maxResponseHeader,
	}
}
