package e2e

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/test/docs"
)

const (
	// docsImage is the image that documents and samples name for Pods with a shell
	// and kubectl. The test's cluster has no registry: loadSampleImage puts another
	// one with both in its place.
	docsImage = "alpine/k8s:1.34.1"
	// docsPatience is how long the commands of one document may take.
	docsPatience = 5 * time.Minute
)

// TestDocs does what every document tells people to do, command by command, as
// somebody with a clone of the repository and two clusters: contexts home, with
// the product installed, and target, of one kubeconfig. What a document leaves
// behind is removed before the next.
func TestDocs(t *testing.T) {
	t.Parallel()
	require.NoError(t, loadSampleImage())
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	all, err := docs.Find(os.DirFS(root))
	require.NoError(t, err)
	caches := goCaches(t)
	for _, document := range all {
		script, err := docs.Script(document, all)
		require.NoError(t, err)
		t.Run(document.Path, func(t *testing.T) {
			checkManifests(t, document)
			if script == "" {
				return
			}
			defer removeNew(t, script)()
			dir := readersDirectory(t, root)
			ctx, cancel := context.WithTimeout(t.Context(), docsPatience)
			defer cancel()
			bash := exec.CommandContext(ctx, "bash", "-c", script)
			bash.Dir = dir
			bash.Env = append(append(os.Environ(), caches...),
				"HOME="+dir,
				"KUBECONFIG="+filepath.Join(dir, ".kube", "config"),
				"PATH="+filepath.Dir(clusters.Kubectl)+":"+os.Getenv("PATH"))
			output, err := bash.CombinedOutput()
			t.Logf("%s", output)
			require.NoError(t, err)
			assert.True(t, strings.HasSuffix(string(output), docs.End+"\n"), "the commands end before the document does")
		})
	}
}

// goCaches are settings by which Go in another home downloads nothing: a mirror may
// be out of reach while the clusters' networks are there.
func goCaches(t *testing.T) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOCACHE").Output()
	require.NoError(t, err)
	lines := strings.Fields(string(output))
	require.Len(t, lines, 2)
	return []string{"GOMODCACHE=" + lines[0], "GOCACHE=" + lines[1]}
}

// checkManifests asks the API server what it thinks of a document's objects, as
// far as it knows their kinds.
func checkManifests(t *testing.T, document *docs.Document) {
	t.Helper()
	manifests, err := docs.Manifests(document, home.Scheme())
	require.NoError(t, err)
	for _, manifest := range manifests {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(manifest.Text), object))
		if !home.Scheme().Recognizes(object.GroupVersionKind()) {
			continue // of a CI system, which is not there or just being installed
		}
		mapping, err := home.RESTMapper().RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
		require.NoError(t, err)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			// It exists, and no webhook asks for Connectors there.
			object.SetNamespace(metav1.NamespaceSystem)
		}
		if object.GetName() == "" {
			object.SetName(object.GetGenerateName() + "docs")
		}
		err = home.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object),
			client.DryRunAll, client.FieldOwner("docs"), client.ForceOwnership)
		assert.NoError(t, err, "%s:%d", document.Path, manifest.Line)
	}
}

// readersDirectory is a directory with all that the repository has, and a
// kubeconfig with both clusters.
func readersDirectory(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			require.NoError(t, os.Symlink(filepath.Join(root, entry.Name()), filepath.Join(dir, entry.Name())))
		}
	}
	config, err := clientcmd.LoadFromFile(clusters.Home.Kubeconfig)
	require.NoError(t, err)
	other, err := clientcmd.LoadFromFile(clusters.Target.Kubeconfig)
	require.NoError(t, err)
	maps.Copy(config.Clusters, other.Clusters)
	maps.Copy(config.AuthInfos, other.AuthInfos)
	maps.Copy(config.Contexts, other.Contexts)
	require.NoError(t, clientcmd.WriteToFile(*config, filepath.Join(dir, ".kube", "config")))
	return dir
}

// removeNew returns a function that removes the namespaces and cluster roles that
// are not there yet and that the script names, from both clusters, and waits until
// they are gone. Others are of tests beside this one.
func removeNew(t *testing.T, script string) (remove func()) {
	t.Helper()
	kinds := []schema.GroupVersionKind{
		{Version: "v1", Kind: "Namespace"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	}
	old := map[types.UID]bool{}
	fresh := func() map[*metav1.PartialObjectMetadata]client.Client {
		found := map[*metav1.PartialObjectMetadata]client.Client{}
		for _, c := range []client.Client{home, target} {
			for _, kind := range kinds {
				list := &metav1.PartialObjectMetadataList{}
				list.SetGroupVersionKind(kind)
				require.NoError(t, c.List(t.Context(), list))
				for _, object := range list.Items {
					if !old[object.UID] && strings.Contains(script, object.Name) {
						object.SetGroupVersionKind(kind)
						found[&object] = c
					}
				}
			}
		}
		return found
	}
	for object := range fresh() {
		old[object.UID] = true
	}
	return func() {
		for object, c := range fresh() {
			require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), object)))
			if object.Kind == "Namespace" {
				// Nobody waits for the grace period of a shell.
				require.NoError(t, c.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(object.Name), client.GracePeriodSeconds(0)))
			}
		}
		eventually(t, func() bool { return len(fresh()) == 0 }, "what a document made is not removed")
	}
}
