package ambassador

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/elazarl/goproxy"
)

// refusalTimeout bounds how long a client may take to read a refusal.
const refusalTimeout = 5 * time.Second

// front takes CONNECT requests and nothing else. goproxy's part ends where the
// connection is hijacked: it would relay any other request to anywhere, and its
// own MITM sends a token to whatever host the inner request names.
type front struct {
	users   map[string]*route // by every spelling of the proxy user
	token   string
	serve   func(*tls.Conn, *tunnel)
	log     *slog.Logger
	metrics *metrics
	proxy   *goproxy.ProxyHttpServer
}

func newFront(users map[string]*route, token string, serve func(*tls.Conn, *tunnel), log *slog.Logger, m *metrics) *front {
	f := &front{users: users, token: token, serve: serve, log: log, metrics: m, proxy: goproxy.NewProxyHttpServer()}
	f.proxy.Logger = goproxyLog{log}
	// The constructor has read HTTPS_PROXY and made a Transport that verifies
	// nothing. No request gets that far; make it impossible too.
	f.proxy.Tr = &http.Transport{DialContext: refuseDial}
	f.proxy.ConnectDial = func(network, address string) (net.Conn, error) {
		return refuseDial(context.Background(), network, address)
	}
	f.proxy.OnRequest().HandleConnectFunc(f.handleConnect)
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		refusal := &statusError{
			code: http.StatusMethodNotAllowed, reason: "MethodNotAllowed",
			message: "this port takes CONNECT only: use it as proxy-url of a kubeconfig whose server is https",
		}
		w.Header().Set("Allow", http.MethodConnect)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(refusal.code)
		_, _ = w.Write(refusal.json()) // without a client nobody is left to tell
		return
	}
	f.proxy.ServeHTTP(replayWriter{w}, r)
}

// handleConnect decides on a CONNECT request.
func (f *front) handleConnect(host string, ctx *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
	route, authority, refusal := f.admit(ctx.Req)
	if refusal != nil {
		f.metrics.refuseConnect(refusal.code)
		f.log.Debug("CONNECT refused", "status", refusal.code, "reason", refusal.message)
		return &goproxy.ConnectAction{
			Action: goproxy.ConnectHijack,
			Hijack: func(r *http.Request, conn net.Conn, _ *goproxy.ProxyCtx) { refuse(conn, r, refusal) },
		}, host
	}
	return &goproxy.ConnectAction{
		Action: goproxy.ConnectHijack,
		Hijack: func(r *http.Request, conn net.Conn, _ *goproxy.ProxyCtx) { f.open(conn, route, authority) },
	}, host
}

// admit is the connector that a CONNECT request is for and the authority that
// it named, or why it is refused.
func (f *front) admit(r *http.Request) (*route, string, *statusError) {
	user, err := authenticate(r.Header, f.token)
	if err != nil {
		return nil, "", &statusError{code: http.StatusProxyAuthRequired, reason: "Unauthorized", message: err.Error()}
	}
	route := f.users[user]
	if route == nil {
		return nil, "", &statusError{
			code: http.StatusProxyAuthRequired, reason: "Unauthorized",
			message: fmt.Sprintf("connector %.200q is not served here: the user of the proxy-url is namespace/name of a connector of this Pod", user),
		}
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
		return nil, "", badRequest("a CONNECT request has no body")
	}
	// RequestURI is what the client wrote; net/http has taken r.Host and r.URL
	// from it or from the Host header.
	authority, err := normalAuthority(r.RequestURI)
	if err != nil || !route.accepts(authority) {
		return nil, "", forbidden(fmt.Sprintf("connector %s is for %s, not %.200q", route.ref, route.address().Authority(), r.RequestURI))
	}
	if trouble := route.trouble(); trouble != nil {
		return nil, "", trouble
	}
	return route, authority, nil
}

// open tells the client that its tunnel is open and serves what comes through.
func (f *front) open(conn net.Conn, route *route, authority string) {
	config, err := route.tlsConfig(authority)
	if err == nil {
		_, err = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
	if err != nil {
		f.log.Warn("opening a tunnel", "connector", route.ref.String(), "error", err.Error())
		conn.Close()
		return
	}
	// Not in this goroutine: net/http would keep what it has read the CONNECT with.
	go f.serve(tls.Server(conn, config), &tunnel{route: route, authority: authority})
}

// refuse answers a CONNECT request. Clients show the reason phrase and hardly
// ever the body, and net/http has no way to set one.
func refuse(conn net.Conn, r *http.Request, e *statusError) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(refusalTimeout))
	resp := e.response()
	resp.Status = fmt.Sprintf("%d %s", e.code, reasonPhrase(e.message))
	resp.Request = r
	resp.Close = true
	if e.code == http.StatusProxyAuthRequired {
		resp.Header.Set("Proxy-Authenticate", `Basic realm="connector"`)
	}
	w := bufio.NewWriter(conn)
	if resp.Write(w) == nil {
		_ = w.Flush() // the client is gone: nobody is left to tell
	}
}

// reasonPhrase is s without what may not stand in a status line.
func reasonPhrase(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func refuseDial(_ context.Context, _, address string) (net.Conn, error) {
	return nil, fmt.Errorf("refusing to connect to %s", address)
}

// goproxyLog takes goproxy's messages. They may quote a request, so they are
// for debugging only.
type goproxyLog struct{ log *slog.Logger }

// Printf implements goproxy.Logger.
func (l goproxyLog) Printf(format string, v ...any) {
	l.log.Debug("goproxy: " + strings.TrimSpace(fmt.Sprintf(format, v...)))
}
