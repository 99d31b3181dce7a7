package attacks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_smuggling", actor: app, outcome: prevented,
	tries: "hides a second request from the sidecar, by Content-Length, chunks, or line ends",
	what:  "what is not one clear request is refused; nothing reaches the target that the sidecar has not checked",
	run: func(t *testing.T, s *scene) {
		const hidden = "GET /api HTTP/1.1\r\nHost: x\r\nImpersonate-User: system:admin\r\n\r\n"
		chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
		for name, rest := range map[string]string{
			"both lengths":          fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", len(hidden)+5, hidden),
			"chunks of a length":    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunked,
			"two lengths":           fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden),
			"a list of lengths":     fmt.Sprintf("Content-Length: 0, %d\r\n\r\n%s", len(hidden), hidden),
			"a signed length":       "Content-Length: +0\r\n\r\n" + hidden,
			"a space in the header": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
			"two encodings":         "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
			"an encoding twice":     "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + hidden,
			"no chunk size":         "Transfer-Encoding: chunked\r\n\r\n" + hidden,
			"bare line feeds":       "Content-Length: 0\n\n" + hidden,
			"a trailer":             "Transfer-Encoding: chunked\r\nTrailer: Impersonate-User\r\n\r\n0\r\nImpersonate-User: system:admin\r\n\r\n",
			"a body of a GET":       fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(hidden), hidden),
			"one after the other":   "\r\n" + hidden,
		} {
			request := "GET /apis/authentication.k8s.io HTTP/1.1\r\nHost: $SERVER\r\n" + rest + "GET /api HTTP/1.0\r\n\r\n"
			output, err := s.runs(t, s.victim, "app", request, "attacker", "send", "proxy")
			require.NoError(t, err, output)
			assert.Regexp(t, `^HTTP/1\.1 (200|4\d\d) `, output, name)
			// Impersonation would be forbidden by the target: it says so in other words.
			assert.NotContains(t, output, "system:admin", name)
			assert.NotContains(t, output, "cannot impersonate", name)
		}
	},
})
