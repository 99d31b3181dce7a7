package bed

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit"
)

// Trap is a server of an attacker, with a certificate of his own, which is reached
// from Pods and remembers what came.
type Trap struct {
	Address, CA string
	received    testkit.Log
	calls       atomic.Int32
}

// NewTrap starts one. It answers 200, without a body.
func NewTrap(t *testing.T) *Trap {
	t.Helper()
	return NewServer(t, Silent)
}

// Silent answers 200, without a body.
func Silent(http.ResponseWriter, *http.Request) {}

// NewServer is a Trap that answers something.
func NewServer(t *testing.T, answer http.HandlerFunc) *Trap {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "trap", time.Now().Add(time.Hour), net.ParseIP(Clusters.MachineIP()))
	trap := NewTrapAs(t, "0", certificate, answer)
	trap.CA = ca
	return trap
}

// NewTrapAs is a Trap on a port of its own, with another certificate.
func NewTrapAs(t *testing.T, port string, certificate tls.Certificate, answer http.HandlerFunc) *Trap {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(Clusters.MachineIP(), port))
	require.NoError(t, err)
	trap := &Trap{Address: "https://" + listener.Addr().String()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := httputil.DumpRequest(r, true)
		fmt.Fprintf(&trap.received, "%s\n%v\n", request, err)
		answer(w, r)
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		trap.calls.Add(1)
		return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return trap
}

// Received is all that has come.
func (t *Trap) Received() string { return t.received.String() }

// Calls is how many connections there were, those included that ended at the
// certificate.
func (t *Trap) Calls() int { return int(t.calls.Load()) }
