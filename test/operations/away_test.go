package operations

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// gateway is a way to the API server that can be closed.
type gateway struct {
	address string

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gateway{address: "https://" + listener.Addr().String(), open: map[net.Conn]bool{}}
	target := strings.TrimSuffix(strings.TrimPrefix(server.Config.Host, "https://"), "/")
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil || !g.add(in, out) {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				running.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // until one side ends
					_, _ = way[0].Close(), way[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		g.close()
		running.Wait()
	})
	return g
}

func (g *gateway) add(connections ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range connections {
		if g.closed {
			_ = c.Close()
		} else {
			g.open[c] = true
		}
	}
	return !g.closed
}

func (g *gateway) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.open {
		_ = c.Close()
	}
	clear(g.open)
}

func (g *gateway) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

// newConnector makes a Connector without its Secret, and awaitReason waits for what
// the controller says of it.
func newConnector(t *testing.T) *v1alpha1.Connector {
	t.Helper()
	team := namespace("")
	team.GenerateName = "team-"
	require.NoError(t, admin.Create(t.Context(), team))
	c := &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Namespace: team.Name, Name: "k8s-connector"},
		Spec:       v1alpha1.ConnectorSpec{ConnectorClassName: "k8s", Address: "https://api.example.com"},
	}
	require.NoError(t, admin.Create(t.Context(), c))
	return c
}

func awaitReason(t *testing.T, c *v1alpha1.Connector) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		var now v1alpha1.Connector
		if assert.NoError(t, admin.Get(context.Background(), client.ObjectKeyFromObject(c), &now)) {
			assert.Equal(t, now.Generation, now.Status.ObservedGeneration)
		}
	}, patience, tick)
}

// TestAPIServerAway: a leader that cannot renew its Lease ends, because another one
// may lead by then. One that comes up meanwhile waits, says so, and works when the
// API server is back, without another restart.
func TestAPIServerAway(t *testing.T) {
	way := newGateway(t)
	leader := start(t, "controller", way.address, "--leader-elect")
	leader.await(t, "/metrics", http.StatusOK, leads)
	awaitReason(t, newConnector(t))

	way.close()
	require.Error(t, <-leader.ended)
	leader.says(t, "leader election lost")

	waiting := start(t, "controller", way.address, "--leader-elect")
	waiting.await(t, "/readyz", http.StatusServiceUnavailable, "the API server does not answer")
	waiting.await(t, "/healthz", http.StatusOK, "")
	waiting.says(t, "waiting for the API server")
	require.Empty(t, waiting.ended)

	way.reopen()
	waiting.await(t, "/readyz", http.StatusOK, "")
	waiting.await(t, "/metrics", http.StatusOK, leads)
	awaitReason(t, newConnector(t))
}

// TestRightsMissing: a replica that may not read what it needs is not ready, does not
// lead, says what it lacks, and goes on as soon as it has it.
func TestRightsMissing(t *testing.T) {
	binding := &rbacv1.ClusterRoleBinding{}
	require.NoError(t, admin.Get(t.Context(), client.ObjectKey{Name: "connector-controller"}, binding))
	require.NoError(t, admin.Delete(t.Context(), binding))
	binding.ResourceVersion = ""
	restore := sync.OnceValue(func() error { return admin.Create(context.Background(), binding) })
	t.Cleanup(func() { require.NoError(t, restore()) })

	p := start(t, "controller", server.Config.Host, "--leader-elect")
	p.says(t, "is forbidden")
	p.await(t, "/readyz", http.StatusInternalServerError, "caches")
	p.await(t, "/healthz", http.StatusOK, "")
	p.await(t, "/metrics", http.StatusOK, `rest_client_requests_total{code="403"`)
	require.Empty(t, p.ended)

	require.NoError(t, restore())
	p.await(t, "/readyz", http.StatusOK, "")
	p.await(t, "/metrics", http.StatusOK, leads)
	awaitReason(t, newConnector(t))
}
