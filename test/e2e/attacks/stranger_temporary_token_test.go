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
	name: "stranger_temporary_token", actor: stranger, outcome: prevented,
	tries: "uses the temporary token of the Pod at a sidecar of its own",
	what:  "every sidecar has a temporary token of its own: 407",
	run: func(t *testing.T, s *scene) {
		temporary, err := bed.Execute(t, s.victim, "app", "", "sed", "-n", `s#.*proxy-url: "http://[^:]*:\([^@]*\)@.*#\1#p`, kubeconfig)
		require.NoError(t, err)
		temporary, _, _ = strings.Cut(temporary, "\n")
		require.NotEmpty(t, temporary)
		pod := start(t, s.pod())
		basic := base64.StdEncoding.EncodeToString([]byte(s.namespace + "/k8s-connector:" + temporary))
		request := "CONNECT " + strings.TrimPrefix(bed.Clusters.Target.Address, "https://") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nProxy-Authorization: Basic " + basic + "\r\n\r\n"
		output, err := s.runs(t, pod, "app", request, "attacker", "send", "plain")
		require.NoError(t, err, output)
		assert.Regexp(t, `^HTTP/1\.1 407 `, output)
		output, err = s.runs(t, s.victim, "app", request, "attacker", "send", "plain")
		require.NoError(t, err, output)
		assert.Regexp(t, `^HTTP/1\.1 200 `, output, "where it belongs it is good")
	},
})
