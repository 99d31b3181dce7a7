package webhook_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

func newInjector(tb testing.TB) *webhook.Injector {
	tb.Helper()
	metrics, err := webhook.NewMetrics(prometheus.NewRegistry())
	require.NoError(tb, err)
	return &webhook.Injector{
		Cache: reviews.Reader{}, Live: reviews.Reader{}, Injection: v1alpha1.InjectionEnabled, Metrics: metrics,
		Options: inject.Options{Image: "sidecar:test"},
	}
}

// BenchmarkAdmission is one review and its answer, over HTTPS on one connection.
// `go run ./bench -only admission` compares them in turn.
func BenchmarkAdmission(b *testing.B) {
	ours := newInjector(b)
	diff, err := reviews.Diff(b.Context(), ours)
	require.NoError(b, err)
	for name, handler := range map[string]http.Handler{
		"ours":                    ours,
		"empty":                   reviews.Empty(),
		"empty-plain":             reviews.EmptyPlain(),
		"controller-runtime-diff": diff,
	} {
		b.Run(name, func(b *testing.B) {
			server := reviews.Serve(handler)
			defer server.Close()
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, server.Post(b.Context()))
			}
		})
	}
}

// TestAdmissionAllocations: allocations do not depend on how busy a machine is,
// as times do. A good half of them are the Pod's.
func TestAdmissionAllocations(t *testing.T) {
	injector := newInjector(t)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		_, err := reviews.Post(t.Context(), injector)
		require.NoError(t, err)
	}), 400.)
}
