package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_other_config_map", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with the address and the seal of another Connector, whose token it may have",
	what:  "a seal is made with one token for one Connector: the sidecar uses none",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		bed.Create(t, bed.Home, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: s.namespace}, Type: connector.SecretTypeBearerToken,
			StringData: map[string]string{connector.SecretKeyToken: "a-token-of-the-attacker", connector.SecretKeyCA: trap.CA},
		})
		mine := bed.ConnectorObject(s.namespace, trap.Address)
		mine.Name, mine.Spec.Auth.SecretRef.Name, mine.Spec.CACertSecretRef = "mine", "mine", nil
		bed.Create(t, bed.Home, mine)
		bed.Eventually(t, func() bool {
			var sealed corev1.ConfigMap
			_ = bed.Home.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.ConnectionConfigMapName("mine")}, &sealed)
			return sealed.Data[v1alpha1.ConnectionKeySeal] != ""
		}, "there is no seal to copy")
		pod := s.copyOf(s.victim)
		for _, volume := range pod.Spec.Volumes {
			if volume.Name == "connectors-credentials-0" {
				volume.Projected.Sources[1].ConfigMap.Name = v1alpha1.ConnectionConfigMapName("mine")
			}
		}
		if err := s.creates(t, s.person(t, createsPods), pod); err != nil {
			refused(t, err)
			return
		}
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		bed.Eventually(t, func() bool {
			s.shell(t, pod, "app", "kubectl get --raw /api")
			return strings.Contains(s.reads(t, pod, sidecar), "not sealed with this token")
		}, "the sidecar does not see the other ConfigMap")
		assert.NotContains(t, trap.Received(), "Authorization: Bearer "+s.token)
	},
})
