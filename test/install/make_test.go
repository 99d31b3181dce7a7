package install

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMakeNeedsACluster: what cannot be reached is said in one sentence, before
// anything is done.
func TestMakeNeedsACluster(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
current-context: nowhere
`), 0o600))
	for _, target := range []string{"install", "uninstall"} {
		output, err := command(t.Context(), "", "make", "-C", root, target, "KUBECTL="+clusters.Kubectl+" --kubeconfig "+kubeconfig)
		require.ErrorContains(t, err, "127.0.0.1:1 was refused", target)
		require.ErrorContains(t, err, "This cluster cannot be used", target)
		assert.NotContains(t, output, "dist/install.yaml", target)
	}
}
