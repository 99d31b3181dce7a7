package inject_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// planning plans what the Pod asks for, from its annotations to the patch.
func planning(tb testing.TB, pod *corev1.Pod, names ...string) func() {
	tb.Helper()
	connectors := make([]*v1alpha1.Connector, 0, len(names))
	for _, name := range names {
		connectors = append(connectors, reviews.Connector(name))
	}
	return func() {
		request, err := inject.ReadRequest(pod, inject.Namespace{Name: reviews.Namespace, Injection: v1alpha1.InjectionEnabled})
		require.NoError(tb, err)
		result, err := inject.Plan(pod, request, connectors, options)
		require.NoError(tb, err)
		require.NotEmpty(tb, result.Patch)
	}
}

// plannings are one Connector into an ordinary Pod, and five into one of 20
// containers, with the most allocations of each.
func plannings(tb testing.TB) map[string]struct {
	plan func()
	most float64
} {
	tb.Helper()
	ordinary, err := reviews.Pod()
	require.NoError(tb, err)
	large, err := reviews.LargePod()
	require.NoError(tb, err)
	return map[string]struct {
		plan func()
		most float64
	}{
		"one":          {planning(tb, ordinary, "k8s-connector"), 100},
		"five-into-20": {planning(tb, large, "one", "two", "three", "four", "five"), 300},
	}
}

func BenchmarkPlan(b *testing.B) {
	for name, planning := range plannings(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				planning.plan()
			}
		})
	}
}

// TestPlanAllocations: allocations do not depend on how busy a machine is, as
// times do.
func TestPlanAllocations(t *testing.T) {
	for name, planning := range plannings(t) {
		t.Run(name, func(t *testing.T) {
			assert.LessOrEqual(t, testing.AllocsPerRun(100, planning.plan), planning.most)
		})
	}
}
