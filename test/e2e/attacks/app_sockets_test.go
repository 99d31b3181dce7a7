package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ = declare(attack{
	name: "app_sockets", actor: app, outcome: prevented,
	tries: "calls the sidecar over the Unix sockets of the Pod's network",
	what:  "the sidecar has none that another container could name",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", "cat /proc/net/unix")
		require.Contains(t, output, "Inode Path")
		assert.NotContains(t, output, "@", "there is an abstract socket")
		for line := range strings.Lines(output) {
			if fields := strings.Fields(line); len(fields) == 8 && strings.HasPrefix(fields[7], "/") {
				assert.Contains(t, s.shell(t, s.victim, "app", "ls "+fields[7]), "No such file")
			}
		}
	},
})
