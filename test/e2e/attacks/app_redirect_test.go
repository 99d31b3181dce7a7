package attacks

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_redirect", actor: app, outcome: prevented,
	tries: "has the target answer with a redirect to its own server",
	what:  "the sidecar follows no redirect",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		target := bed.NewServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.Address+r.URL.Path, http.StatusTemporaryRedirect)
		})
		s.connectTo(t, "redirecting", target)
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationConnectors] = "redirecting"
		pod = start(t, pod)
		const request = "GET /api HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n"
		var output string
		bed.Eventually(t, func() bool {
			output, _ = s.runs(t, pod, "app", request, "attacker", "send", "proxy")
			return strings.HasPrefix(output, "HTTP/1.1 307 ")
		}, "the target is not reached: %v", &output)
		assert.Contains(t, target.Received(), "Authorization: Bearer "+s.token)
		assert.NotContains(t, trap.Received(), "Authorization")
	},
})
