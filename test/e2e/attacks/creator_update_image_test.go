package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_update_image", actor: creator, outcome: prevented,
	tries: "changes the image of a running sidecar",
	what:  "the change is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		patch := `[{"op": "replace", "path": "/spec/initContainers/0/image", "value": "` + attackerImage + `"}]`
		err := mallory.Patch(t.Context(), s.victim.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(patch)), client.DryRunAll)
		s.sees(err)
		refused(t, err)
		patch = strings.Replace(patch, "initContainers", "containers", 1)
		require.NoError(t, mallory.Patch(t.Context(), s.victim.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(patch)), client.DryRunAll))
	},
})
