package attacks

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "editor_owner_reference", actor: editor, outcome: prevented, alone: true,
	tries: "gives the Connector an owner that does not exist, so that garbage collection deletes it, and mounts the Secret that no Connector names then",
	what:  "only who may read the Secret may change the owners of the Connector",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, append(editsConnectors, createsPods...))
		err := mallory.Patch(t.Context(), s.connector(), client.RawPatch(types.MergePatchType, []byte(
			`{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]}}`)))
		s.sees(err)
		refused(t, err)
	},
})
