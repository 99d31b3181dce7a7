package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_debug_ports", actor: app, outcome: prevented,
	tries: "asks every port of the Pod for metrics, profiles and traces",
	what:  "nothing listens but the ports that want the temporary token, which have no such pages",
	run: func(t *testing.T, s *scene) {
		listening := s.shell(t, s.victim, "app", "netstat -tln")
		assert.Contains(t, listening, ":17443 ")
		for line := range strings.Lines(listening) {
			fields := strings.Fields(line)
			if len(fields) < 6 || fields[5] != "LISTEN" {
				continue
			}
			assert.Regexp(t, `^(127\.0\.0\.1|::1):1744[34]$`, fields[3])
		}
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/vars", "/healthz"} {
			for way, start := range ways {
				request := "GET " + start.prefix + path + " HTTP/1.1\r\n" + start.headers + "\r\n"
				output, err := s.runs(t, s.victim, "app", request, "attacker", "send", way)
				require.NoError(t, err, output)
				assert.NotContains(t, output, "goroutine", path)
				assert.NotContains(t, output, "kube_connector_sidecar", path)
			}
			output, err := s.runs(t, s.victim, "app", "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "attacker", "send", "plain")
			require.NoError(t, err, output)
			assert.Regexp(t, `^HTTP/1\.1 40\d `, output)
		}
	},
})
