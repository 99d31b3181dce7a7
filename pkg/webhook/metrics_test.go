package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// testMetrics: every answer counts once, under what became of the Pod.
func testMetrics(t *testing.T, s *server) {
	t.Helper()
	require.NoError(t, s.api.Create(t.Context(), newConnector("counted")))
	patch, err := evanphx.DecodePatch(s.review(t, webhook.InjectPath, "default", pod("counted")).Patch)
	require.NoError(t, err)
	done, err := patch.Apply(pod("counted"))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		pod            []byte
		result, reason string
	}{
		"injected":             {pod("counted"), "injected", "asked"},
		"injected before":      {done, "skipped", "already_injected"},
		"not asked":            {[]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app"},"spec":{}}`), "skipped", "not_asked"},
		"invalid annotation":   {pod("a b"), "refused", "invalid_request"},
		"no such connector":    {pod("nowhere"), "refused", "connector_not_found"},
		"hostNetwork":          {[]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","annotations":{"connectors.alauda.io/connectors":"counted"}},"spec":{"hostNetwork":true}}`), "refused", "unsuitable_pod"},
		"something but no Pod": {[]byte(`{"apiVersion":"v1","kind":"Pod","spec":[]}`), "refused", "unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			before, answered := s.counts(t, test.result, test.reason)
			s.review(t, webhook.InjectPath, "default", test.pod)
			after, answeredAfter := s.counts(t, test.result, test.reason)
			assert.InDelta(t, 1, after-before, 0)
			assert.InDelta(t, 1, answeredAfter-answered, 0)
		})
	}
	untouched, _ := s.counts(t, "refused", "lookup_failed")
	assert.Zero(t, untouched, "it is there before it happens")
}

// counts reads one counter, and how many answers were timed.
func (s *server) counts(t *testing.T, result, reason string) (count, answers float64) {
	t.Helper()
	response, err := http.Get("http://" + s.metrics + "/metrics")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	sample := func(name string) float64 {
		_, rest, found := strings.Cut(string(body), "\n"+name+" ")
		require.True(t, found, "there is no %s", name)
		text, _, _ := strings.Cut(rest, "\n")
		value, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		return value
	}
	return sample(fmt.Sprintf("kube_connector_injections_total{reason=%q,result=%q}", reason, result)),
		sample("kube_connector_injection_duration_seconds_count")
}
