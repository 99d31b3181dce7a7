package webhook_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testSurface: no port has more than it is for.
func testSurface(t *testing.T, s *server) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	for _, base := range []string{"https://" + s.address, "http://" + s.metrics, "http://" + s.health} {
		for _, path := range []string{"/", "/debug", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug/flags/v", "/configz", "/logs", "/inject/"} {
			response, err := client.Get(base + path)
			require.NoError(t, err)
			assert.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusNotFound, response.StatusCode, base+path)
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		response, err := client.Get("https://" + s.address + path)
		require.NoError(t, err)
		assert.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusNotFound, response.StatusCode, "admission serves nothing else")
	}
}
