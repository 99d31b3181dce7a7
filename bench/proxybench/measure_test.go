package proxybench

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/bench/proc"
)

// TestMeasure measures, shortly, what needs no installation, and looks at
// whether there is a figure everywhere, not at how good it is.
func TestMeasure(t *testing.T) {
	all := slices.Concat([]proxy{{direct, "tls", startDirect}, {"reverseproxy", "tls", startReverseProxy}}, sidecars)
	report, err := measure(t.Context(), io.Discard, plan{
		rounds: 2, duration: 20 * time.Millisecond, warmUp: 10 * time.Millisecond, connections: []int{1, 3},
		watches: 5, events: 2, bulkRounds: 1, bulkBytes: 2 << 20, slow: 30 * time.Millisecond,
	}, all)
	require.NoError(t, err)

	var names []string
	for _, q := range report.Requests {
		names = append(names, q.Proxy+" "+q.Mode)
		assert.Positive(t, float64(q.P50), q)
		assert.GreaterOrEqual(t, float64(q.P99), float64(q.P50), q)
		assert.True(t, q.ToHAProxy.none(), "there is no HAProxy to compare with")
		assert.Equal(t, q.Proxy == direct, q.CPU.none(), q)
		assert.Equal(t, q.Proxy == direct, q.RSS.none(), q)
	}
	assert.Equal(t, []string{
		"direct tls", "direct tls", "reverseproxy tls", "reverseproxy tls",
		"connector-proxy localhost", "connector-proxy localhost", "connector-proxy proxy", "connector-proxy proxy",
	}, names)
	require.Len(t, report.Watches, 3)
	for _, q := range report.Watches {
		assert.Empty(t, q.Error)
		assert.Positive(t, float64(q.Event), q)
		assert.Positive(t, float64(q.ToDirect), q)
	}
	require.Len(t, report.Bulk, 4)
	for _, q := range report.Bulk {
		assert.Positive(t, float64(q.Speed), q)
	}

	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, report.Write(dir))
	content, err := os.ReadFile(filepath.Join(dir, "proxy.json"))
	require.NoError(t, err)
	var rows []map[string]any
	require.NoError(t, json.Unmarshal(content, &rows))
	assert.Len(t, rows, len(report.Requests))
	var printed strings.Builder
	require.NoError(t, report.Print(&printed))
	assert.NotContains(t, printed.String(), "NaN")
}

// TestWatchesRefused: a proxy that does not take the watches gets a row that
// says so, and the others are measured all the same.
func TestWatchesRefused(t *testing.T) {
	b, err := newBed(t.Context())
	require.NoError(t, err)
	defer b.close()
	refusing := func(ctx context.Context, b *bed) (*proc.Process, *target, error) {
		process, target, err := startReverseProxy(ctx, b)
		if err == nil {
			target.prefix = "/nowhere"
		}
		return process, target, err
	}
	rows, err := measureWatches(t.Context(), b, plan{watches: 3, events: 1}, []proxy{
		{name: "refusing", start: refusing}, {name: haproxy, start: startReverseProxy},
	})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	assert.Equal(t, `0 of 3 watches were opened, then: the answer is "HTTP/1.1 404 Not Found"`, rows[0].Error)
	assert.True(t, rows[0].RSSEach.none())
	assert.True(t, rows[0].ToHAProxy.none())
	assert.Empty(t, rows[1].Error)
	assert.Positive(t, float64(rows[1].Event))
	assert.InDelta(t, 1, float64(rows[1].ToHAProxy), 1e-9)
}
