package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_headers", actor: app, outcome: prevented,
	tries: "becomes somebody else by headers: Authorization, Impersonate-*, X-Remote-*, Connection",
	what:  "they are refused or removed: it is who the token says, or nobody",
	run: func(t *testing.T, s *scene) {
		const body = `{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}`
		for _, headers := range []string{
			"Authorization: Bearer x", "Authorization: Bearer x\r\nAuthorization: Bearer y", "Connection: Authorization",
			"Connection: Authorization, Impersonate-User", "X-Remote-User: system:admin\r\nX-Remote-Group: system:masters",
			"Impersonate-User: system:admin\r\nImpersonate-Group: system:masters", "impersonate-uid: 0", "Impersonate-Extra-x: y",
			"Impersonate_User: system:admin", "Impersonate-User : system:admin", "X: y\r\n Impersonate-User: system:admin", "X: y\nImpersonate-User: system:admin",
			"X-Forwarded-User: system:admin\r\nX-Forwarded-Host: elsewhere\r\nX-Original-URL: /version", "Proxy-Authorization: Basic x", "Cookie: token=x",
			"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.eA", "X-HTTP-Method-Override: DELETE",
		} {
			for way, start := range ways {
				request := "POST " + start.prefix + "/apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\n" + start.headers +
					"Content-Type: application/json\r\n" + fmt.Sprintf("Content-Length: %d\r\n", len(body)) + headers + "\r\n\r\n" + body
				output, err := s.runs(t, s.victim, "app", request, "attacker", "send", way)
				require.NoError(t, err, output)
				assert.Regexp(t, `^HTTP/1\.1 (201|4\d\d) `, output, headers)
				assert.NotContains(t, output, "system:admin", headers)
				if strings.HasPrefix(output, "HTTP/1.1 201 ") {
					assert.Contains(t, output, s.account, headers)
				}
			}
		}
	},
})
