package ambassador_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/credential"
)

// warningsOf are the warnings that a client of Kubernetes shows.
func warningsOf(t *testing.T, resp *http.Response) []string {
	t.Helper()
	headers, errs := utilnet.ParseWarningHeaders(resp.Header["Warning"])
	require.Empty(t, errs)
	var warnings []string
	for _, h := range headers {
		warnings = append(warnings, h.Text)
	}
	return warnings
}

// A 401 looks as if the app's kubeconfig were wrong. It says whose token it is,
// and the log says so once.
func TestRefusedTokenIsExplained(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	const want = "connector team-a/cluster: the cluster refuses the token of the Connector's Secret (401 Unauthorized); put a valid one there"
	for range 2 {
		resp := r.get(t, "/api")
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.Equal(t, []string{want}, warningsOf(t, resp))
	}
	assert.Equal(t, 1, strings.Count(r.log.String(), want), "%s", r.log)
}

// What answers with 401 behind the API server has not refused our token.
func TestRefusalBehindTheAPIServerIsItsOwn(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	src := newSource(up.snapshot())
	src.reload = func() { src.set(&credential.Snapshot{CA: up.ca, Token: "fresh"}) }
	r := start(t, up.address(t, "/prefix"), src)
	for _, path := range []string{
		"/api/v1/namespaces/shop/services/https:cart:80/proxy/", "/api/v1/namespaces/shop/pods/cart/proxy", "/api/v1/nodes/one/proxy/metrics",
	} {
		resp := r.get(t, "/prefix"+path)
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.Empty(t, warningsOf(t, resp), path)
	}
	assert.Len(t, up.requests(), 3, "nothing is sent twice")
	assert.NotEmpty(t, warningsOf(t, r.get(t, "/prefix/api/v1/namespaces/proxy/pods")))
}

// Clients that drop the body of an answer show its warnings all the same.
func TestOwnErrorsAreWarnings(t *testing.T) {
	up := newUpstream(t, ok)
	_, otherCA := testkit.Certificate(t, `a "quoted" \ name`, time.Now().Add(time.Hour))
	r := start(t, up.address(t, ""), newSource(&credential.Snapshot{CA: otherCA, Token: realToken}))
	resp := r.get(t, "/api")
	assert.Equal(t, []string{statusOf(t, resp).Message}, warningsOf(t, resp))
}

// kubectl reads "connection refused" as a refusal by the API server, whoever
// refused.
func TestUnknownHostIsNotARefusal(t *testing.T) {
	r := start(t, address(t, "https://no-such-host.invalid"), newSource(&credential.Snapshot{Token: realToken}))
	message := statusOf(t, r.get(t, "/api")).Message
	assert.Contains(t, message, "the host of no-such-host.invalid:443 ")
	assert.NotContains(t, message, "refused")
}
