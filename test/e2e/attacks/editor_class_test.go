package attacks

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "editor_class", actor: editor, outcome: prevented,
	tries: "gives the Connector another class or other parameters",
	what:  "only who may read the Secret may change what is done with its token",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, editsConnectors)
		for _, spec := range []string{`{"connectorClassName": "mine"}`, `{"params": [{"name": "x", "value": "y"}]}`, `{"auth": null}`, `{"auth": {"secretRef": {"name": "` + unrelated + `"}}}`} {
			err := mallory.Patch(t.Context(), s.connector(), client.RawPatch(types.MergePatchType, []byte(`{"spec": `+spec+`}`)), client.DryRunAll)
			s.sees(err)
			refused(t, err)
		}
	},
})
