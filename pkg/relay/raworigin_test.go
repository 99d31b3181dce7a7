package relay_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// rawOrigin is a server that says what it wants.
type rawOrigin struct {
	relayPool *relay.Pool

	mu    sync.Mutex
	conns []net.Conn
}

// newRawOrigin has serve called for each connection, which ends with it.
func newRawOrigin(t *testing.T, serve func(conn *tls.Conn, r *bufio.Reader)) *rawOrigin {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "raw", time.Now().Add(time.Hour))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &rawOrigin{}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// Small, so that what is not read soon stops its sender.
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			o.mu.Lock()
			o.conns = append(o.conns, conn)
			o.mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				// What is written at once is one record.
				secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, DynamicRecordSizingDisabled: true})
				if secured.Handshake() == nil {
					serve(secured, bufio.NewReader(secured))
				}
			})
		}
	})
	o.relayPool = &relay.Pool{
		Address: l.Addr().String(), TLS: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12},
		DialTimeout: patience, IdleTimeout: time.Minute, MaxIdle: 8, ResponseHeader: 64 << 10,
	}
	t.Cleanup(func() {
		l.Close()
		o.relayPool.Close()
		o.disconnect()
		serving.Wait()
	})
	return o
}

func (o *rawOrigin) disconnect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, conn := range o.conns {
		conn.Close()
	}
}

// front is a relay that passes everything on to it.
func (o *rawOrigin) front(t *testing.T) *front {
	t.Helper()
	f := newFront(t, limits, forwardTo(o.relayPool))
	t.Cleanup(o.disconnect) // before the front's: a Shutdown that hangs must not hang the run
	return f
}

// answering answers the first request with first, record by record, and every
// other one, on whichever connection, with "real".
func answering(first ...string) func(*tls.Conn, *bufio.Reader) {
	return answeringThen(func() {}, first...)
}

// answeringThen calls said once the first request has been answered.
func answeringThen(said func(), first ...string) func(*tls.Conn, *bufio.Reader) {
	var requests atomic.Int32
	return func(conn *tls.Conn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			var err error
			if requests.Add(1) == 1 {
				err = say(conn, first...)
				said()
			} else {
				err = say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal")
			}
			if err != nil {
				return
			}
		}
	}
}

func say(conn *tls.Conn, records ...string) error {
	for _, record := range records {
		if _, err := io.WriteString(conn, record); err != nil {
			return err
		}
	}
	return nil
}
