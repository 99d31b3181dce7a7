package ambassador

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
)

// Bounds on the way to the API server. There is none on the time to a response:
// a request may wait for one as long as its client does.
const (
	dialTimeout       = 10 * time.Second
	handshakeTimeout  = 10 * time.Second
	idleTimeout       = 45 * time.Second // shorter than servers and load balancers keep them
	continueTimeout   = time.Second
	maxIdle           = 128
	maxResponseHeader = 1 << 20
	maxDiscard        = 64 << 10 // of a 401 that is not passed on
)

// upstream is where requests go, and with what token. Address, trust and token
// are of one Snapshot, so that a token never goes to the address of another.
type upstream struct {
	snapshot  *credential.Snapshot
	address   connector.Address
	transport *http.Transport
}

// rewrite pins a request to its upstream. ReverseProxy calls it after it has
// removed what the client's Connection header named, so the token stays.
func rewrite(p *httputil.ProxyRequest) {
	up := passageOf(p.Out).upstream
	p.Out.URL.Scheme = "https"
	// The host as a person would write it: some gateways in front of an API
	// server know themselves without the default port only.
	p.Out.URL.Host = strings.TrimSuffix(up.address.Authority(), ":"+defaultPort)
	p.Out.Host = ""
	rewriteHeader(p.Out.Header, string(up.snapshot.Token))
}

// upstreams keeps the current upstream of a route.
type upstreams struct {
	current atomic.Pointer[upstream]
	mu      sync.Mutex // held to replace it
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
		up.transport = old.transport // a new token costs no connection
	} else {
		up.transport = newTransport(s.CA, address)
		if old != nil {
			old.transport.CloseIdleConnections()
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
		up.transport.CloseIdleConnections()
	}
}

func (u *upstreams) close() {
	if up := u.current.Load(); up != nil {
		up.transport.CloseIdleConnections()
	}
}

func newTransport(ca string, address connector.Address) *http.Transport {
	return &http.Transport{
		// No Proxy: what the environment names is not who the token is for.
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: &tls.Config{
			RootCAs:    trust(ca),
			ServerName: address.Host(),
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
		},
		// Not nil, so that net/http does not turn HTTP/2 on.
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout:    handshakeTimeout,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxResponseHeader,
		// What the client asks for and the server sends passes as it is.
		DisableCompression: true,
	}
}

// replayer is the RoundTripper of a route. If the server refuses the token, it
// looks once whether there is a new one by now.
type replayer struct{ route *route }

// RoundTrip implements http.RoundTripper.
func (t replayer) RoundTrip(req *http.Request) (*http.Response, error) {
	used := passageOf(req).upstream
	resp, err := used.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.route.outage.end()
	if resp.StatusCode != http.StatusUnauthorized {
		return resp, nil
	}
	fresh := t.route.source.Current()
	if fresh == used.snapshot {
		fresh = t.route.source.Reload()
	}
	// The path has been made for the old address, so a new one is not for this
	// request. A body is gone once it was sent.
	safe := (req.Method == http.MethodGet || req.Method == http.MethodHead) && req.Body == nil
	if !safe || fresh.Token == "" || fresh.Token == used.snapshot.Token || !used.reaches(fresh, t.route.addressOf(fresh)) {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard) // so that the connection can be used again
	resp.Body.Close()
	replay := req.Clone(req.Context())
	replay.Header.Set("Authorization", "Bearer "+string(fresh.Token))
	return used.transport.RoundTrip(replay)
}
