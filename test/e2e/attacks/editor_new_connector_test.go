package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "editor_new_connector", actor: editor, outcome: prevented,
	tries: "makes another Connector with the same Secret and an address of his own",
	what:  "it is refused",
	run: func(t *testing.T, s *scene) {
		mallory, trap := s.person(t, editsConnectors), bed.NewTrap(t)
		mine := bed.ConnectorObject(s.namespace, trap.Address)
		mine.Name = "mine"
		refused(t, s.creates(t, mallory, mine))
		assert.NotContains(t, trap.Received(), "Authorization")
		mine.Spec.Auth.SecretRef.Name = ""
		mine.Spec.Auth.SecretRef = nil
		require.NoError(t, s.creates(t, mallory, mine, client.DryRunAll), "a Connector without a Secret is nobody's business")
	},
})
