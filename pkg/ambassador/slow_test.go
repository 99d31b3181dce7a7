package ambassador_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/credential"
)

// Whoever takes his time is cut off, wherever he stops: a few would keep everybody
// else out.
func TestSlowClientsAreCut(t *testing.T) {
	const hello, get = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh", "GET /api HTTP/1.1\r\nHost:"
	for name, tc := range map[string]struct {
		open func(*piped, *testing.T) net.Conn
		said string // a byte a second
		left time.Duration
	}{
		"proxy, nothing":            {(*piped).toProxy, "", 10 * time.Second},
		"proxy, CONNECT":            {(*piped).toProxy, "CONNECT api.example:6443 HTTP/1.1\r\n", 10 * time.Second},
		"tunnel, nothing":           {(*piped).tunnel, "", 10 * time.Second},
		"tunnel, handshake":         {(*piped).tunnel, hello, 10 * time.Second},
		"tunnel, no request":        {(*piped).inTunnel, "", 3 * time.Minute},
		"tunnel, request":           {(*piped).inTunnel, get, 10 * time.Second},
		"localhost, nothing":        {(*piped).toLocalhost, "", 10 * time.Second},
		"localhost, handshake":      {(*piped).toLocalhost, hello, 10 * time.Second},
		"localhost, no request":     {(*piped).atLocalhost, "", 3 * time.Minute},
		"localhost, request":        {(*piped).atLocalhost, get, 10 * time.Second},
		"localhost, a second of it": {(*piped).atLocalhost, "G", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := tc.open(newPiped(t), t)
				begin := time.Now()
				var saying sync.WaitGroup
				saying.Go(func() {
					for i := range len(tc.said) {
						if _, err := io.WriteString(conn, tc.said[i:i+1]); err != nil {
							return
						}
						<-time.After(time.Second)
					}
				})
				_, err := io.Copy(io.Discard, conn)
				require.NoError(t, err)
				assert.Equal(t, tc.left, time.Since(begin), "by the clock of the test, which is exact")
				saying.Wait()
			})
		})
	}
}

// piped is an ambassador for the one connector team-a/cluster, to which clients come
// through pipes: time passes in no time.
type piped struct {
	identity         *ambassador.Identity
	proxy, localhost *pipes
}

func newPiped(t *testing.T) *piped {
	t.Helper()
	p := &piped{proxy: newPipes(), localhost: newPipes()}
	log := slog.New(slog.DiscardHandler)
	var err error
	p.identity, err = ambassador.OpenIdentity(t.TempDir(), log)
	require.NoError(t, err)
	a, err := ambassador.New(ambassador.Options{
		Connectors: []ambassador.Connector{{
			Reference: cluster, Address: address(t, "https://api.example:6443"), Credential: newSource(&credential.Snapshot{Token: realToken}),
		}},
		Identity: p.identity, DrainTimeout: time.Second, Log: log,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() {
		stopped <- a.Serve(ctx, ambassador.Listeners{Proxy: []net.Listener{p.proxy}, Localhost: []net.Listener{p.localhost}})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-stopped)
	})
	return p
}

func (p *piped) toProxy(t *testing.T) net.Conn     { t.Helper(); return p.proxy.dial(t) }
func (p *piped) toLocalhost(t *testing.T) net.Conn { t.Helper(); return p.localhost.dial(t) }

func (p *piped) tunnel(t *testing.T) net.Conn {
	t.Helper()
	conn := p.toProxy(t)
	_, err := io.WriteString(conn, "CONNECT api.example:6443 HTTP/1.1\r\nHost: api.example:6443\r\n"+
		"Proxy-Authorization: "+basic(cluster.String(), p.identity.Token())+"\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return conn
}

func (p *piped) inTunnel(t *testing.T) net.Conn {
	t.Helper()
	return p.secure(t, p.tunnel(t), "api.example")
}

func (p *piped) atLocalhost(t *testing.T) net.Conn {
	t.Helper()
	return p.secure(t, p.toLocalhost(t), "127.0.0.1")
}

func (p *piped) secure(t *testing.T, conn net.Conn, name string) net.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(p.identity.CA()))
	secured := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12})
	require.NoError(t, secured.Handshake())
	return secured
}

// pipes is a listener.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	p.accepted <- theirs
	return ours
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 17444} }
