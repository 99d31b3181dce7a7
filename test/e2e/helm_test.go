package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// TestHelm installs, upgrades and removes a chart through the sidecar. Helm waits
// for hooks and for what it has installed by watching it.
func TestHelm(t *testing.T) {
	t.Parallel()
	helm, err := cluster.Helm(t.Context(), os.Stderr)
	require.NoError(t, err)
	_, sidecar := waysTo(t, clusters.Home)
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := makeNamespace(t, home, nil)
			home := client.NewNamespacedClient(home, namespace)
			run := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), helm, append([]string{
					"--kubeconfig", sidecar.kubeconfig, "--kube-context", name, "--namespace", namespace,
				}, args...)...)
				cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
				output, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", output)
				return string(output)
			}
			settings := []string{"--wait", "--timeout", patience.String(), "--set", "image=" + cluster.ToolboxImage}
			message := func() map[string]string {
				t.Helper()
				object := &corev1.ConfigMap{}
				require.NoError(t, home.Get(t.Context(), client.ObjectKey{Name: "app"}, object))
				return object.Data
			}
			run(append([]string{"install", "app", "testdata/chart"}, settings...)...)
			assert.Equal(t, map[string]string{"message": "first", "before": "none"}, message())
			run(append([]string{"upgrade", "app", "testdata/chart", "--set", "message=second"}, settings...)...)
			assert.Equal(t, map[string]string{"message": "second", "before": "first"}, message())
			assert.Regexp(t, `app\s+`+namespace+`\s+2\s.*deployed\s+small-0.1.0`, run("list"))
			run("uninstall", "app", "--wait")
			assert.NotContains(t, run("list", "--all"), "app")
			assert.True(t, apierrors.IsNotFound(home.Get(t.Context(), client.ObjectKey{Name: "app"}, &corev1.ConfigMap{})))
		})
	}
}
