package webhook_test

import (
	"bytes"
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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
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
	counted := newConnector("counted")
	counted.Namespace = "counted"
	require.NoError(t, s.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "counted", Annotations: map[string]string{v1alpha1.AnnotationConnectors: "counted"},
	}}))
	require.NoError(t, s.api.Create(t.Context(), counted))
	const enabled, always = webhook.InjectPath, webhook.InjectAlwaysPath
	hostNetwork := func(pod []byte) []byte {
		return bytes.Replace(pod, []byte(`"spec":{`), []byte(`"spec":{"hostNetwork":true,`), 1)
	}
	withSidecar := bytes.Replace([]byte(plainPod), []byte(`"spec":{`), []byte(`"spec":{"initContainers":[{"name":"connector-proxy"}],`), 1)
	for name, test := range map[string]struct {
		path, namespace string
		pod             []byte
		result, reason  string
	}{
		"injected":             {enabled, "default", pod("counted"), "injected", "asked"},
		"injected by default":  {always, "counted", []byte(plainPod), "injected", "namespace_asked"},
		"injected before":      {enabled, "default", done, "skipped", "already_injected"},
		"not asked":            {enabled, "default", []byte(plainPod), "skipped", "not_asked"},
		"no defaults":          {always, "default", []byte(plainPod), "skipped", "no_defaults"},
		"hostNetwork, always":  {always, "counted", hostNetwork([]byte(plainPod)), "skipped", "unsuitable_pod"},
		"a copy":               {always, "counted", withSidecar, "skipped", "copy"},
		"invalid annotation":   {enabled, "default", pod("a b"), "refused", "invalid_request"},
		"no such connector":    {enabled, "default", pod("nowhere"), "refused", "connector_not_found"},
		"not servable":         {enabled, "default", pod("not-served"), "refused", "connector_not_servable"},
		"hostNetwork":          {enabled, "default", hostNetwork(pod("counted")), "refused", "unsuitable_pod"},
		"something but no Pod": {enabled, "default", []byte(`{"apiVersion":"v1","kind":"Pod","spec":[]}`), "refused", "unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			before, answered := s.counts(t, test.result, test.reason)
			s.review(t, test.path, test.namespace, test.pod)
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
