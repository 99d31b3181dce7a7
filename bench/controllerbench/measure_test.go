package controllerbench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMeasure measures a small cluster, and looks at whether the figures can be
// true, not at how good they are.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	t.Chdir("../..")
	const connectors = 200
	r, err := measure(t.Context(), t.Output(), plan{
		connectors: connectors, namespaces: 20, targets: 5, settle: 100 * time.Millisecond, steady: 2 * time.Second, changes: 8,
	})
	require.NoError(t, err)
	require.NoError(t, r.Write(dir))
	content, err := os.ReadFile(filepath.Join(dir, "controller.json"))
	require.NoError(t, err)
	var written Report
	require.NoError(t, json.Unmarshal(content, &written))

	phases := map[string]Phase{}
	for _, p := range written.Phases {
		phases[p.Name] = p
		assert.Positive(t, p.Seconds, p.Name)
		assert.Positive(t, p.RSS, p.Name)
		assert.GreaterOrEqual(t, p.Peak, p.RSS, p.Name)
	}
	require.Len(t, phases, 5)
	assert.Positive(t, written.Creating)
	assert.Positive(t, phases["steady"].CPU)
	start, changes, restart := phases["start"], phases["changes"], phases["restart"]
	assert.GreaterOrEqual(t, start.Writes, connectors, "each Connector has got a status")
	const review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	assert.GreaterOrEqual(t, count(start.Probes, "POST", review), connectors, "each token has been tried")
	assert.Positive(t, start.Connected)
	assert.Positive(t, start.TargetsCPU)
	assert.Greater(t, start.Together, start.CPU+start.TargetsCPU, "the API server has had something to do, too")
	assert.Positive(t, count(start.API, "watch", "connectors"))
	assert.Positive(t, count(restart.API, "watch", "connectors"))
	assert.GreaterOrEqual(t, count(changes.API, "patch", "connectors/status"), 8, "each change has been written")
	assert.Equal(t, 8, written.Changes.Samples)
	assert.Positive(t, written.Changes.P50)
	assert.GreaterOrEqual(t, written.Changes.Max, written.Changes.P99)
	assert.NoError(t, r.Print(t.Output()))
}

// count is how many requests of a kind there were.
func count(rows []Requests, verb, resource string) int {
	i := slices.IndexFunc(rows, func(q Requests) bool { return q.Verb == verb && q.Resource == resource })
	if i < 0 {
		return 0
	}
	return rows[i].Count
}
