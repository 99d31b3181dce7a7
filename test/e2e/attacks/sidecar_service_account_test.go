package attacks

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "sidecar_service_account", actor: inside, outcome: prevented,
	tries: "looks for rights in this cluster, and for programs to run",
	what:  "the sidecar has no ServiceAccount token, and its image no program but the sidecar",
	run: func(t *testing.T, s *scene) {
		root := fmt.Sprintf("/proc/%d/root", bed.ProcessOf(t, s.victim, sidecar))
		files, err := filepath.Glob(root + "/var/run/secrets/kubernetes.io/serviceaccount/[^.]*")
		require.NoError(t, err)
		assert.Empty(t, files)
		programs, err := filepath.Glob(root + "/*bin/*")
		require.NoError(t, err)
		assert.Empty(t, programs)
	},
})
