package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_before", actor: creator, outcome: notPrevented,
	tries: "mounts a Secret that is not there yet, and waits until somebody makes it, and a Connector for it",
	what:  "until a Connector names it, it is a Secret like others: give it a name that is new, and look who mounts it",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		optional := true
		pod.Spec.Volumes = []corev1.Volume{{Name: "loot", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "later", Optional: &optional}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "loot", MountPath: "/loot"}}
		require.NoError(t, s.creates(t, s.person(t, createsPods), pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		bed.Create(t, bed.Home, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: s.namespace}, Type: connector.SecretTypeBearerToken,
			StringData: map[string]string{connector.SecretKeyToken: s.token},
		})
		later := bed.ConnectorObject(s.namespace, bed.Clusters.Target.Address)
		later.Name, later.Spec.Auth.SecretRef.Name = "later", "later"
		bed.Create(t, bed.Home, later)
		bed.Eventually(t, func() bool {
			output, _ := bed.Execute(t, pod, "app", "", "cat", "/loot/token")
			return output == s.token
		}, "the Secret does not arrive")
	},
})
