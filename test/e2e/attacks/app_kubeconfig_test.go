package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "app_kubeconfig", actor: app, outcome: prevented,
	tries: "writes into the kubeconfig, or puts another in its place",
	what:  "its volume is read-only in every container but the sidecar",
	run: func(t *testing.T, s *scene) {
		output := s.shell(t, s.victim, "app", "echo x > "+kubeconfig+"; rm "+kubeconfig+"; cp /etc/hostname "+kubeconfig+"; mount -o remount,rw /var/run/connectors.alauda.io; touch /var/run/connectors.alauda.io/x")
		assert.GreaterOrEqual(t, strings.Count(output, "Read-only file system"), 3, output)
		s.works(t, s.victim)
	},
})
