package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "editor_ca", actor: editor, outcome: prevented,
	tries: "has the Connector trust certificates of his own",
	what:  "only who may read the Secret may say whom to trust with its token",
	run: func(t *testing.T, s *scene) {
		bed.Create(t, bed.Home, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "my-ca", Namespace: s.namespace}, StringData: map[string]string{connector.SecretKeyCA: bed.NewTrap(t).CA},
		})
		mallory := s.person(t, editsConnectors)
		err := mallory.Patch(t.Context(), s.connector(), client.RawPatch(types.MergePatchType, []byte(`{"spec": {"caCertSecretRef": {"name": "my-ca"}}}`)), client.DryRunAll)
		s.sees(err)
		refused(t, err)
	},
})
