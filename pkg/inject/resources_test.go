package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// The API server keeps an empty spec.resources, and gives such a Pod the class
// BestEffort whatever its containers ask for. It is no budget that the sidecar
// could live from.
func TestEmptyResourcesOfThePodAreNone(t *testing.T) {
	want, c := injected(t, "settings-pod-resources")
	require.Empty(t, want.Spec.InitContainers[0].Resources)

	var pod corev1.Pod
	require.NoError(t, json.Unmarshal(c.pod, &pod))
	pod.Spec.Resources = &corev1.ResourceRequirements{}
	result, err := c.plan(marshal(t, &pod))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(apply(t, marshal(t, &pod), result.Patch), &pod))
	assert.NotNil(t, pod.Spec.Resources)
	sidecar := pod.Spec.InitContainers[0].Resources
	assert.Equal(t, "16Mi", sidecar.Requests.Memory().String())
	assert.Equal(t, "64Mi", sidecar.Limits.Memory().String())
}
