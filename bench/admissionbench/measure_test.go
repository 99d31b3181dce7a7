package admissionbench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMeasure measures next to nothing, of everything.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	t.Chdir("../..")
	r, err := measure(t.Context(), t.Output(), plan{
		rounds: 1, duration: 1, burstRounds: 1, burst: 4, concurrency: 2, connectors: 3,
	})
	require.NoError(t, err)
	require.NoError(t, r.Write(dir))
	content, err := os.ReadFile(filepath.Join(dir, "admission.json"))
	require.NoError(t, err)
	var written Report
	require.NoError(t, json.Unmarshal(content, &written))

	names := make([]string, 0, len(written.Operations))
	for _, o := range written.Operations {
		names = append(names, o.Name)
		assert.Positive(t, o.NS, o.Name)
		assert.Positive(t, o.Allocations, o.Name)
		assert.Positive(t, o.Ratio, o.Name)
	}
	assert.Equal(t, []string{"plan-1", "plan-5x20", "http-empty", "http-empty-plain", "http-ours", "http-controller-runtime-diff"}, names)
	require.Len(t, written.Bursts, 3)
	for _, b := range written.Bursts {
		assert.Positive(t, b.P50, b.Webhook)
		assert.GreaterOrEqual(t, b.P99, b.P50, b.Webhook)
		assert.Equal(t, b.Webhook != "none", b.Mean > 0, b.Webhook)
	}
	require.Len(t, written.Memory, 2)
	for _, m := range written.Memory {
		assert.NotEmpty(t, m.Environment)
		assert.Positive(t, m.RSS)
		assert.GreaterOrEqual(t, m.Peak, m.RSS)
	}
	assert.NoError(t, r.Print(t.Output()))
}
