package ambassador

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// route is the way of one connector's requests: what clients may ask for, and
// where that goes.
type route struct {
	ref       connector.Reference
	first     connector.Address // the one in the clients' kubeconfigs
	authority string            // normal form of first
	source    credential.Source
	identity  *Identity
	log       *slog.Logger
	upstreams upstreams
	outage    outage
	refused   atomic.Pointer[credential.Snapshot] // the last one whose token the server refused

	counts     *counts // nil if nobody reads them
	tokenSince atomic.Pointer[time.Time]

	mu      sync.Mutex
	configs map[string]*tls.Config // by host: of the first and of the current address
}

func newRoute(c Connector, identity *Identity, log *slog.Logger) (*route, error) {
	authority, err := normalAuthority(c.Address.Authority())
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", c.Address, err)
	}
	r := &route{
		ref:       c.Reference,
		first:     c.Address,
		authority: authority,
		source:    c.Credential,
		identity:  identity,
		log:       log.With("connector", c.Reference.String()),
		configs:   make(map[string]*tls.Config),
	}
	// Now rather than at the first CONNECT: this is where it would fail.
	if _, err := r.tlsConfig(authority); err != nil {
		return nil, err
	}
	return r, nil
}

// address is where requests go now.
func (r *route) address() connector.Address {
	return r.addressOf(r.source.Current())
}

func (r *route) addressOf(s *credential.Snapshot) connector.Address {
	if s.Address.IsZero() {
		return r.first
	}
	return s.Address
}

// accepts reports whether a client may ask for authority, in its normal form.
func (r *route) accepts(authority string) bool {
	if authority == r.authority {
		return true
	}
	current, err := normalAuthority(r.address().Authority())
	return err == nil && authority == current
}

// trouble is why no request would succeed now, as far as that is known.
func (r *route) trouble() *statusError {
	snapshot := r.source.Current()
	if snapshot.Token == "" {
		return unavailable(fmt.Sprintf("connector %s: %v", r.ref, snapshot.Problem))
	}
	return r.outage.refusal(snapshot)
}

// tlsConfig is what a client meets that asked for authority.
func (r *route) tlsConfig(authority string) (*tls.Config, error) {
	host, _, err := splitAuthority(authority)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if config := r.configs[host]; config != nil {
		return config, nil
	}
	leaf, err := r.identity.leaf(host)
	if err != nil {
		return nil, err
	}
	config := serverTLS(leaf)
	r.configs[host] = config
	return config, nil
}

// view is the API server of a route as a client sees it.
type view interface {
	// prefix is the path prefix that the client takes for the one of address.
	// The path of req has passed checkPath.
	prefix(req *http.Request, address connector.Address) (string, *statusError)
	// relocate makes a response lead where the client can go.
	relocate(resp *http.Response, address connector.Address)
}

// serve is the one way of all requests, whichever front they came to.
func (r *route) serve(x *relay.Exchange, v view) {
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		start, path := time.Now(), x.Request.URL.EscapedPath()
		defer func() {
			r.log.Debug("request", "method", x.Request.Method, "path", path,
				"status", x.Status(), "bytes", x.Bytes(), "duration", time.Since(start).String())
		}()
	}
	if r.counts != nil {
		start := r.counts.begin()
		defer func() { r.counts.end(x, start) }()
	}
	snapshot := r.source.Current()
	address := r.addressOf(snapshot)
	if refusal := r.guard(x.Request, v, address); refusal != nil {
		x.Answer(refusal.response())
		return
	}
	up, err := r.upstreams.of(snapshot, address)
	if err != nil {
		x.Answer(unavailable(fmt.Sprintf("connector %s: %v", r.ref, err)).response())
		return
	}
	resp, err := r.forward(x, up)
	switch {
	case errors.Is(err, relay.ErrClientGone):
		return
	case errors.Is(err, relay.ErrMalformedBody):
		x.Answer(badRequest(err.Error()).response())
		return
	case err != nil:
		x.Answer(r.failure(err, up))
		return
	}
	v.relocate(resp, up.address)
	r.advise(resp, up.snapshot)
	x.Answer(resp)
}

// follow lets go of connections that a changed address or CA made useless, and
// notes when a token is new.
func (r *route) follow(ctx context.Context) {
	var token credential.Token
	for {
		changed := r.source.Changed()
		snapshot := r.source.Current()
		if snapshot.Token != token {
			now := time.Now()
			r.tokenSince.Store(&now)
			token = snapshot.Token
		}
		r.upstreams.retire(snapshot, r.addressOf(snapshot))
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (r *route) close() { r.upstreams.close() }
