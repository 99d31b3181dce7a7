package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_image_pull_secret", actor: creator, outcome: harmless,
	tries: "names the Secret as an imagePullSecret",
	what:  "the kubelet finds no credentials of a registry in it, and no container sees it",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: theSecret}}
		mallory := s.person(t, createsPods)
		require.NoError(t, s.creates(t, mallory, pod))
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		assert.Empty(t, bed.Search(t, pod, "app", s.patterns()...))
	},
})
