package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "stranger_copy", actor: stranger, outcome: prevented,
	tries: "copies an injected Pod into its own namespace",
	what:  "there is no such Secret and no such ConfigMap there: the sidecar has no token",
	run: func(t *testing.T, s *scene) {
		pod := s.copyOf(s.victim)
		pod.Namespace = bed.NewNamespace(t)
		pod = start(t, pod)
		output := s.shell(t, pod, "app", "kubectl get --raw /api")
		assert.NotContains(t, output, "APIVersions")
		assert.Contains(t, s.reads(t, pod, sidecar), "no credential")
	},
})
