package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_temporary_token", actor: app, outcome: harmless,
	tries: "uses the temporary token at the target itself, and at its own cluster",
	what:  "it is nobody's there",
	run: func(t *testing.T, s *scene) {
		for _, api := range []string{bed.Clusters.Target.Address, bed.Clusters.Home.Address} {
			output := s.shell(t, s.victim, "app", `kubectl --kubeconfig=/dev/null --insecure-skip-tls-verify --server=`+api+
				` --token="$(sed -n 's#.*proxy-url: "http://[^:]*:\([^@]*\)@.*#\1#p' $KUBECONFIG | head -n 1)" get --raw /api`)
			assert.Regexp(t, "Unauthorized|provide credentials", output)
		}
	},
})
