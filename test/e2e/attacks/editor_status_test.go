package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "editor_status", actor: editor, outcome: harmless, alone: true,
	tries: "forges the status of the Connector: Ready, and a proxy of his own",
	what:  "nothing goes by the status but people and warnings, and the controller mends it",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		mallory := s.person(t, append(editsConnectors, may("connectors.alauda.io", "connectors/status", "*")))
		err := mallory.Status().Patch(t.Context(), s.connector(), client.RawPatch(types.MergePatchType, []byte(
			`{"status": {"proxy": {"httpAddress": {"url": "`+trap.Address+`"}}}}`)))
		s.sees(err)
		require.NoError(t, err)
		pod := start(t, s.pod())
		s.works(t, pod)
		assert.Empty(t, trap.Received())
	},
})
