package operations

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	leads   = `leader_election_master_status{name="connector-controller"} 1`
	follows = `leader_election_master_status{name="connector-controller"} 0`
)

// TestTakeOver: of two replicas one leads, and each says which it is. A leader that
// is told to end lets the Lease go; one that is killed cannot, and it has to run out.
func TestTakeOver(t *testing.T) {
	first := start(t, "controller", server.Config.Host, "--leader-elect")
	first.await(t, "/metrics", http.StatusOK, leads)
	second := start(t, "controller", server.Config.Host, "--leader-elect")
	second.await(t, "/readyz", http.StatusOK, "")
	second.await(t, "/metrics", http.StatusOK, follows)
	second.await(t, "/metrics", http.StatusOK, `kube_connector_connectors{ready="True",reason="Ready"}`)

	began := time.Now()
	require.NoError(t, first.process.Signal(syscall.SIGTERM))
	second.await(t, "/metrics", http.StatusOK, leads)
	t.Logf("told to end: the other one leads after %s", time.Since(began).Round(100*time.Millisecond))
	require.NoError(t, <-first.ended)

	third := start(t, "controller", server.Config.Host, "--leader-elect")
	third.await(t, "/metrics", http.StatusOK, follows)
	began = time.Now()
	require.NoError(t, second.process.Kill())
	third.await(t, "/metrics", http.StatusOK, leads)
	t.Logf("killed: the other one leads after %s", time.Since(began).Round(100*time.Millisecond))
	require.Error(t, <-second.ended)
	assert.Empty(t, third.ended)
}
