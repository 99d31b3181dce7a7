package webhook_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// podWithCSI has both the annotation and a csi volume.
func podWithCSI(annotation, attribute string) []byte {
	return bytes.Replace(pod(annotation), []byte(`"spec":{`), []byte(`"spec":{"volumes":[{"name":"kube","csi":{"driver":"connectors-csi",`+
		`"volumeAttributes":{"connectors":"`+attribute+`","configuration.names":"kubeconfig"}}}],`), 1)
}

// testCSI: where Pods come from decides what counts in them.
func testCSI(t *testing.T, s *server) {
	t.Helper()
	for _, name := range []string{"annotated", "mounted"} {
		require.NoError(t, s.api.Create(t.Context(), newConnector(name)))
	}
	pod := podWithCSI("annotated", "mounted")
	const ignored = "annotation connectors.alauda.io/connectors was ignored"

	enabled := s.review(t, webhook.InjectPath, "default", pod)
	require.True(t, enabled.Allowed, "%+v", enabled.Result)
	assert.Contains(t, string(enabled.Patch), "--connector=default/annotated")
	assert.Contains(t, string(enabled.Patch), "--connector=default/mounted")
	assert.NotContains(t, strings.Join(enabled.Warnings, "\n"), ignored)

	other := s.review(t, webhook.InjectCSIPath, "default", pod)
	require.True(t, other.Allowed, "%+v", other.Result)
	assert.NotContains(t, string(other.Patch), "default/annotated")
	assert.Contains(t, string(other.Patch), "--connector=default/mounted")
	assert.Contains(t, strings.Join(other.Warnings, "\n"), ignored)

	missing := s.review(t, webhook.InjectCSIPath, "default", podWithCSI("annotated", "missing"))
	assert.False(t, missing.Allowed)
	assert.EqualValues(t, http.StatusForbidden, missing.Result.Code)
	assert.Contains(t, missing.Result.Message, `the Connector default/missing, which volume "kube" names, does not exist`)
}
