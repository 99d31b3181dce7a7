package attacks

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_core_dump", actor: app, outcome: prevented,
	tries: "has cores of the node's processes dumped where it can read them",
	what:  "the setting is read-only, and the sidecar dumps no core",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", "echo /var/run/connectors.alauda.io/core > /proc/sys/kernel/core_pattern")
		assert.Contains(t, output, "Read-only file system")
		memory, err := os.Stat(fmt.Sprintf("/proc/%d/mem", bed.ProcessOf(t, s.victim, sidecar)))
		require.NoError(t, err)
		assert.Zero(t, memory.Sys().(*syscall.Stat_t).Uid, "the kernel may dump it")
	},
})
