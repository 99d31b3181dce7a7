package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "editor_address", actor: editor, outcome: prevented, alone: true,
	tries: "points the Connector to his own server",
	what:  "only who may read the Secret may say where its token goes",
	run: func(t *testing.T, s *scene) {
		mallory, trap := s.person(t, editsConnectors), bed.NewTrap(t)
		err := mallory.Patch(t.Context(), s.connector(), client.RawPatch(types.MergePatchType, []byte(`{"spec": {"address": "`+trap.Address+`"}}`)))
		s.sees(err)
		refused(t, err)
		assert.NotContains(t, trap.Received(), "Authorization")
	},
})
