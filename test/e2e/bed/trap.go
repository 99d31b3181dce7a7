package bed

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
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
}

// NewTrap starts one. It answers 200, without a body.
func NewTrap(t *testing.T) *Trap {
	t.Helper()
	return NewServer(t, func(http.ResponseWriter, *http.Request) {})
}

// NewServer is a Trap that answers something.
func NewServer(t *testing.T, answer http.HandlerFunc) *Trap {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "trap", time.Now().Add(time.Hour), net.ParseIP(Clusters.MachineIP()))
	listener, err := net.Listen("tcp", net.JoinHostPort(Clusters.MachineIP(), "0"))
	require.NoError(t, err)
	trap := &Trap{Address: "https://" + listener.Addr().String(), CA: ca}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := httputil.DumpRequest(r, true)
		fmt.Fprintf(&trap.received, "%s\n%v\n", request, err)
		answer(w, r)
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return trap
}

// Received is all that has come.
func (t *Trap) Received() string { return t.received.String() }
