// Package ambassador is a proxy on localhost that holds the real tokens of
// connectors, so that no client has to: it takes requests of clients that show a
// temporary token, and sends each with the real token to the one API server that
// its connector is for.
//
// There are three ways in. Clients that know proxies send CONNECT to the front,
// and find the API server under its own name inside the tunnel. Others take the
// localhost port for an API server with a path prefix. Those that look for the
// API server of the cluster they run in find the first connector, at the root of
// a port of its own. From there on the way is one: route.serve.
//
// Package relay carries the requests. Everything that decides where a token goes is
// in route.go, guard.go and upstream.go.
package ambassador

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// Bounds on what a client can use up. A request or a response has no bound in
// time: watches and logs may last.
const (
	maxConnections    = 1024    // 43 kB each with an idle watch: all fit into the 64 MiB that injection grants
	maxConnectHeader  = 4 << 10 // many small lines take several times that
	maxRequestHeader  = 64 << 10
	maxHeaderLines    = 200
	maxLargeHeaders   = 16               // up to 1 MB each, if their lines are short
	headerTimeout     = 10 * time.Second // also of the TLS handshake
	idleClientTimeout = 3 * time.Minute  // longer than clients keep idle connections
	acceptPause       = 50 * time.Millisecond
)

// Connector is one connector that the ambassador serves.
type Connector struct {
	Reference connector.Reference
	// Address is the one that clients were told at first. It stays valid as
	// what they ask for, even when Credential delivers another to connect to.
	Address    connector.Address
	Credential credential.Source
}

// Options are what an Ambassador is made from.
type Options struct {
	Connectors []Connector
	// Identity holds the CA and the temporary token that clients know.
	Identity *Identity
	// DrainTimeout bounds how long Serve waits for requests at its end.
	DrainTimeout time.Duration
	Log          *slog.Logger
}

// Ambassador serves clients on localhost. Make one with New.
type Ambassador struct {
	log          *slog.Logger
	drainTimeout time.Duration
	routes       []*route
	front        *http.Server // takes CONNECT
	inner        relay.Server // serves what is inside the tunnels, and the ports that take requests
	localhost    *localhost
	inCluster    *localhost
	localTLS     *tls.Config
	connections  atomic.Int64
	metrics      metrics
	scrapers     atomic.Int64
	scrapeServer *http.Server
}

// New checks the options and returns an Ambassador that is ready to serve.
func New(o Options) (*Ambassador, error) {
	if len(o.Connectors) == 0 {
		return nil, errors.New("no connector is configured")
	}
	a := &Ambassador{log: o.Log, drainTimeout: o.DrainTimeout}
	users := make(map[string]*route)
	for _, c := range o.Connectors {
		r, err := newRoute(c, o.Identity, o.Log)
		if err != nil {
			return nil, fmt.Errorf("connector %s: %w", c.Reference, err)
		}
		a.routes = append(a.routes, r)
		for _, user := range proxyUsers(c.Reference) {
			if users[user] != nil {
				return nil, fmt.Errorf("connector %s is configured twice", c.Reference)
			}
			users[user] = r
		}
	}
	a.localhost = newLocalhost(a.routes, o.Identity.Token(), o.Log, &a.metrics)
	a.inCluster = newInCluster(a.routes[0], o.Identity.Token(), o.Log, &a.metrics)
	leaf, err := o.Identity.leaf(localNames...)
	if err != nil {
		return nil, err
	}
	a.localTLS = serverTLS(leaf)
	a.front = &http.Server{
		Handler:           newFront(users, o.Identity.Token(), a.serveTunnel, o.Log, &a.metrics),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleClientTimeout,
		MaxHeaderBytes:    maxConnectHeader,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:          serverLog(o.Log),
		// net/http would answer "OPTIONS *" with 200, asking nobody.
		DisableGeneralOptionsHandler: true,
	}
	a.inner = relay.Server{
		Limits: relay.Limits{RequestHeader: maxRequestHeader, HeaderLines: maxHeaderLines, LargeHeaders: maxLargeHeaders, HeaderTimeout: headerTimeout, IdleTimeout: idleClientTimeout},
		Refuse: func(code int, message string) *http.Response {
			a.metrics.unrouted.add(verbOther, code, 0)
			return (&statusError{code: code, reason: "BadRequest", message: message}).response()
		},
		Log: o.Log,
	}
	a.scrapeServer = a.newScrapeServer()
	return a, nil
}

// Listeners are where clients connect to.
type Listeners struct {
	Proxy     []net.Listener // takes CONNECT
	Localhost []net.Listener // takes requests, over TLS
	// InCluster takes requests, over TLS, for the first connector, at the root.
	InCluster []net.Listener
	// Metrics answers GET /metrics to everybody, over plain HTTP. Without it nothing
	// is counted of requests.
	Metrics net.Listener
}

// Serve takes connections from the listeners until ctx is done. Then it stops
// accepting, lets requests and streams finish within the drain timeout, cuts
// what is left and returns nil. It closes the listeners.
func (a *Ambassador) Serve(ctx context.Context, listeners Listeners) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	var servers sync.WaitGroup
	defer servers.Wait()
	defer stop()
	failed := make(chan error, len(listeners.Proxy)+len(listeners.Localhost)+len(listeners.InCluster)+1)
	serve := func(l net.Listener, serve func(net.Listener) error) {
		servers.Go(func() {
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
		})
	}
	if listeners.Metrics != nil {
		a.metrics.unrouted = newCounts()
		for _, r := range a.routes {
			r.counts = newCounts()
		}
		defer a.scrapeServer.Close() // of the drain, too, there is something to see
		serve(&boundedListener{Listener: listeners.Metrics, open: &a.scrapers, most: maxScrapers, refusal: tooMany}, a.scrapeServer.Serve)
	}
	for _, l := range listeners.Proxy {
		serve(&boundedListener{Listener: l, open: &a.connections, most: maxConnections, refusal: tooMany}, a.front.Serve)
	}
	for _, l := range listeners.Localhost {
		serve(&boundedListener{Listener: l, open: &a.connections, most: maxConnections}, a.serveLocalhost)
	}
	for _, l := range listeners.InCluster {
		serve(&boundedListener{Listener: l, open: &a.connections, most: maxConnections}, a.serveInCluster)
	}
	for _, r := range a.routes {
		servers.Go(func() { r.follow(base) })
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.drain(listeners) //nolint:contextcheck // ctx has ended: it is why we drain
	return err
}

// drain ends the ways in, and then what has come in.
func (a *Ambassador) drain(listeners Listeners) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), a.drainTimeout)
	defer cancel()
	for _, l := range slices.Concat(listeners.Localhost, listeners.InCluster) {
		l.Close()
	}
	a.front.Close() // what it still has are clients that have no tunnel yet
	complete := a.inner.Shutdown(ctx) == nil
	for _, r := range a.routes {
		r.close()
	}
	a.log.Info("drained", "complete", complete, "duration", time.Since(start).String())
}

// serveTunnel serves what comes through a tunnel.
func (a *Ambassador) serveTunnel(conn *tls.Conn, t *tunnel) {
	a.inner.ServeConn(conn, func(x *relay.Exchange) { t.route.serve(x, t) })
}

// serveLocalhost serves the clients of the localhost port.
func (a *Ambassador) serveLocalhost(l net.Listener) error { return a.serveRequests(l, a.localhost) }

// serveInCluster serves in-cluster clients.
func (a *Ambassador) serveInCluster(l net.Listener) error { return a.serveRequests(l, a.inCluster) }

func (a *Ambassador) serveRequests(l net.Listener, front *localhost) error {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if passing := (interface{ Temporary() bool })(nil); errors.As(err, &passing) && passing.Temporary() {
			<-time.After(acceptPause) // no more files, say; net/http's servers go on, too
			continue
		}
		if err != nil {
			return err
		}
		go a.inner.ServeConn(tls.Server(conn, a.localTLS), func(x *relay.Exchange) { front.serve(x, port) })
	}
}
