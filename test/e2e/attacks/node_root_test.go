package attacks

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "node_root", actor: node, outcome: notPrevented,
	tries: "reads the volume of the sidecar, or its memory",
	what:  "root on the node has what runs there: tokens of few rights, and nodes of their own for who must not meet",
	run: func(t *testing.T, s *scene) {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/var/run/connector-proxy/credentials/%s/k8s-connector/token", bed.ProcessOf(t, s.victim, sidecar), s.namespace))
		require.NoError(t, err)
		assert.Equal(t, s.token, string(content))
	},
})
