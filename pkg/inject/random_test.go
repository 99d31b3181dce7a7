package inject_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit/admissiontest"
)

// TestRandomPods holds for Pods and annotations made at random what holds for the
// golden files. FuzzRandomPods goes on from there.
func TestRandomPods(t *testing.T) {
	const pods = 1000
	injected, refused := 0, 0
	for i := range pods {
		shape := make([]byte, 1024)
		_, err := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(shape)
		require.NoError(t, err)
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			switch patched, err := planRandom(t, shape); {
			case err != nil:
				refused++
			case patched:
				injected++
			}
		})
	}
	t.Logf("%d injected, %d refused", injected, refused)
	assert.Greater(t, injected, pods/4, "too few Pods are injected to tell")
	assert.Greater(t, refused, pods/8, "too few Pods are refused to tell")
}

func FuzzRandomPods(f *testing.F) {
	f.Add([]byte{})
	for i := range 16 {
		shape := make([]byte, 256)
		_, err := rand.NewChaCha8([32]byte{byte(i)}).Read(shape)
		require.NoError(f, err)
		f.Add(shape)
	}
	f.Fuzz(func(t *testing.T, shape []byte) { _, _ = planRandom(t, shape) })
}

// planRandom reports whether the Pod of a shape gets a patch, or the refusal.
func planRandom(t *testing.T, shape []byte) (patched bool, refusal error) {
	t.Helper()
	random := admissiontest.Random(shape)
	c := &testCase{
		pod: random.Pod, namespace: random.Namespace, connectors: random.Connectors,
		ImagePullSecret: random.Options.ImagePullSecret,
	}
	if !random.Options.CPULimit.IsZero() {
		c.CPULimit = random.Options.CPULimit.String()
	}
	result, err := c.plan(c.pod)
	if err != nil {
		assertRefusal(t, err)
		return false, err
	}
	c.holds(t, result, 2)
	if t.Failed() {
		t.Logf("%s", c.pod)
	}
	return len(result.Patch) > 0, nil
}
