package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "editor_config_map", actor: editor, outcome: prevented, alone: true,
	tries: "writes his own address into the ConfigMap beside the Connector",
	what:  "without the token he cannot seal it, and the sidecar does not use it",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		mallory := s.person(t, editsConnectors)
		forged := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ConnectionConfigMapName("k8s-connector"), Namespace: s.namespace},
			Immutable:  new(true), // or the controller mends it
			Data: map[string]string{
				v1alpha1.ConnectionKeyAddress: trap.Address, v1alpha1.ConnectionKeyCA: trap.CA, v1alpha1.ConnectionKeySeal: strings.Repeat("0", 64),
			},
		}
		// The controller writes the right one again at once: be faster.
		bed.Eventually(t, func() bool {
			require.NoError(t, client.IgnoreNotFound(mallory.Delete(t.Context(), forged.DeepCopy())))
			return s.creates(t, mallory, forged.DeepCopy()) == nil
		}, "the ConfigMap cannot be forged")
		bed.Eventually(t, func() bool {
			s.shell(t, s.victim, "app", "kubectl get --raw /api")
			return strings.Contains(s.reads(t, s.victim, sidecar), "not sealed with this token")
		}, "the sidecar does not see the forged ConfigMap")
		s.works(t, s.victim)
		// A Pod that starts now has no good one to go on with.
		pod := start(t, s.pod())
		output := s.shell(t, pod, "app", "kubectl get --raw /api")
		assert.NotContains(t, output, "APIVersions")
		assert.NotContains(t, trap.Received(), "Authorization")
	},
})
