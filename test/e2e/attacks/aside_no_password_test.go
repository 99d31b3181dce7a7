package attacks

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "aside_no_password", actor: aside, outcome: prevented,
	tries: "calls the sidecar without the temporary token, or with a guess",
	what:  "407 on the proxy port, 401 on the other",
	run: func(t *testing.T, s *scene) {
		for _, credentials := range []string{"", "Basic Og==", "Basic " + base64.StdEncoding.EncodeToString([]byte(s.namespace+"/k8s-connector:")), "Basic eDp4", "Bearer x", "Bearer "} {
			header := "Proxy-Authorization: " + credentials + "\r\n"
			if credentials == "" {
				header = ""
			}
			request := "CONNECT " + strings.TrimPrefix(bed.Clusters.Target.Address, "https://") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + "\r\n"
			output, err := s.runs(t, s.victim, "aside", request, "attacker", "send", "plain")
			require.NoError(t, err, output)
			assert.Regexp(t, `^HTTP/1\.1 407 `, output, credentials)
			request = "GET /api HTTP/1.1\r\nHost: 127.0.0.1:17444\r\nConnection: close\r\n" + strings.TrimPrefix(header, "Proxy-") + "\r\n"
			output, err = s.runs(t, s.victim, "aside", request, "attacker", "send", "localhost")
			require.NoError(t, err, output)
			assert.Regexp(t, `^HTTP/1\.1 401 `, output, credentials)
		}
	},
})
