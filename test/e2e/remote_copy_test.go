package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// kubectl is a command of some kubectl, on the sidecar's kubeconfig.
func (s *localSidecar) kubectl(t *testing.T, program, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"--kubeconfig", s.kubeconfig, "--context", name}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // where it caches
	return cmd
}

// TestCopy: kubectl cp carries a directory into a Pod and back.
func TestCopy(t *testing.T) {
	t.Parallel()
	_, sidecar := waysTo(t, clusters.Home)
	pod := server(t)
	for _, name := range contexts {
		for _, webSockets := range []string{"true", "false"} {
			t.Run(name+", WebSocket "+webSockets, func(t *testing.T) {
				t.Parallel()
				copyThereAndBack(t, pod, func(args ...string) *exec.Cmd {
					cmd := sidecar.kubectl(t, clusters.Kubectl, name, args...)
					cmd.Env = append(cmd.Env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS="+webSockets)
					return cmd
				})
			})
		}
	}
}

func copyThereAndBack(t *testing.T, pod *corev1.Pod, kubectl func(args ...string) *exec.Cmd) {
	t.Helper()
	there, back := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "back")
	files := map[string]string{"empty": "", "large": randomText(3 << 20), "below/it": "small\n"}
	for name, content := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(there, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(there, name), []byte(content), 0o600))
	}
	inside := pod.Namespace + "/" + pod.Name + ":/tmp/" + hash(t.Name())
	for _, args := range [][]string{{"cp", there, inside}, {"cp", inside, back}} {
		output, err := kubectl(args...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	for name, content := range files {
		got, err := os.ReadFile(filepath.Join(back, name))
		require.NoError(t, err)
		assert.Equal(t, digest(content), digest(string(got)), name)
	}
}
