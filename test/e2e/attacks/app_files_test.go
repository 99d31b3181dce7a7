package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_files", actor: app, outcome: prevented,
	tries: "reads every file that it can",
	what:  "the token is in none; the temporary one is in the kubeconfig",
	run: func(t *testing.T, s *scene) {
		assert.Empty(t, bed.Search(t, s.victim, "app", s.patterns()...))
		assert.Contains(t, bed.Search(t, s.victim, "app", "fake-token"), kubeconfig, "the search itself does not work")
	},
})
