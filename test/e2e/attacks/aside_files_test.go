package attacks

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "aside_files", actor: aside, outcome: prevented,
	tries: "looks for the kubeconfig and the token in its files, environment and processes",
	what:  "neither is there",
	run: func(t *testing.T, s *scene) {
		kubeconfig, err := bed.Execute(t, s.victim, "app", "", "cat", kubeconfig)
		require.NoError(t, err)
		temporary := regexp.MustCompile(`http://[^:]+:([^@]+)@`).FindStringSubmatch(kubeconfig)
		require.Len(t, temporary, 2)
		assert.Empty(t, bed.Search(t, s.victim, "aside", append(s.patterns(), temporary[1])...))
	},
})
