package ambassador_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

// Thousands of connections on which nothing happens: those that are too many are told
// so and cost nothing, and a client has its turn as soon as one of the others goes.
func TestThousandsOfConnections(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	local := *r
	local.mode = kubeconfig.ModeLocalhost
	var idle []net.Conn
	for range ambassador.MaxConnections / 2 {
		// As far as they get without a request: they are let be for minutes.
		idle = append(idle, r.open(t), local.open(t))
	}
	heap, goroutines := heapInUse(), runtime.NumGoroutine()

	const tooMany = "HTTP/1.1 503 too many connections to the connector proxy\r\nRetry-After: 1\r\n"
	for i := range 5000 {
		address, said, refusal := r.proxy, "", tooMany
		switch i % 4 {
		case 1:
			said = "CONNECT " + r.host() + " HTTP/1.1\r\nHost: " + r.host() + "\r\nProxy-Authorization: " + r.authorization() + "\r\n\r\n"
		case 2:
			address, refusal = r.localhost, ""
		case 3:
			address, said, refusal = r.localhost, "\x16\x03\x01\x02\x00\x01", ""
		}
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		io.WriteString(conn, said)
		answer, _ := io.ReadAll(conn) // it may end with what was said unread
		require.NoError(t, conn.Close())
		require.Contains(t, string(answer), refusal)
		require.Equal(t, refusal == "", len(answer) == 0)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	assert.Less(t, heapInUse()-heap, int64(1<<20))
	r.counted(t, "client_connections", map[string]float64{"": ambassador.MaxConnections})

	client := r.client(t)
	_, err := client.Get(r.url("/api"))
	require.ErrorContains(t, err, "too many connections")
	require.NoError(t, idle[0].Close())
	require.Eventually(t, func() bool {
		resp, err := client.Get(r.url("/api"))
		return err == nil && body(t, resp) == "ok"
	}, patience, time.Millisecond)
}

// heapInUse is what is left after garbage collection.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
