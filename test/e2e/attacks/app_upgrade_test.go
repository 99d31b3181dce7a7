package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_upgrade", actor: app, outcome: prevented,
	tries: "asks for an upgrade, to send past the sidecar what it would refuse",
	what:  "only an upgrade that the target agrees to opens a stream, and that is no connection to send requests on",
	run: func(t *testing.T, s *scene) {
		const after = "GET /api HTTP/1.1\r\nHost: $SERVER\r\nImpersonate-User: system:admin\r\nConnection: close\r\n\r\n"
		for _, headers := range []string{
			"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
			"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"Upgrade: SPDY/3.1\r\nConnection: Upgrade", "Upgrade: TLS/1.0\r\nConnection: Upgrade", "Upgrade: websocket", "Upgrade: x, websocket\r\nConnection: Upgrade",
		} {
			request := "GET /api HTTP/1.1\r\nHost: $SERVER\r\n" + headers + "\r\n\r\n" + after
			output, err := s.runs(t, s.victim, "app", request, "attacker", "send", "proxy")
			require.NoError(t, err, output)
			assert.Regexp(t, `^HTTP/1\.1 (200|4\d\d) `, output, headers)
			assert.NotContains(t, output, "101 Switching", headers)
			assert.NotContains(t, output, "cannot impersonate", headers)
		}
	},
})
