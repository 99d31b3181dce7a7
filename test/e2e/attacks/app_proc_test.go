package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "app_proc", actor: app, outcome: prevented,
	tries: "looks at the sidecar through /proc: its arguments, environment, memory, files and root",
	what:  "the containers see no processes of each other",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", `for p in /proc/[0-9]*; do
			tr '\0' ' ' < $p/cmdline; echo; cat $p/environ $p/maps; ls -l $p/fd; ls $p/root/var/run/connector-proxy
		done`)
		assert.Contains(t, output, "sleep 3600", "it sees its own")
		assert.NotContains(t, output, "/sidecar")
		assert.NotContains(t, output, "credentials")
	},
})
