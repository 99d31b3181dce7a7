package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_host_path", actor: creator, outcome: notPrevented,
	tries: "mounts the directory where the kubelet keeps volumes, where PodSecurity allows it",
	what:  "it reads the volumes of all Pods of the node: [enforce PodSecurity `baseline`](#privileged-pods-and-the-node), which refuses it",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		pod.Spec.Volumes = []corev1.Volume{{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/kubelet/pods"}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "node", MountPath: "/node", MountPropagation: new(corev1.MountPropagationHostToContainer)}}
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		output, _ := bed.Execute(t, pod, "app", "", "sh", "-c", "cat /node/"+string(s.victim.UID)+"/volumes/kubernetes.io~projected/connectors-credentials-0/token")
		assert.Equal(t, s.token, output)
		s.underPodSecurity(t, pod)
	},
})
