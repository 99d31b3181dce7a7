package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// team is a namespace of home as a CI system's job finds it: with a Connector
// k8s-connector that may look at everything in the target.
type team struct {
	namespace string
	token     string
	// user is who it is in the target, as that says.
	user string
}

func newTeam(t *testing.T) *team {
	t.Helper()
	return newTeamIn(t, newNamespace(t))
}

func newTeamIn(t *testing.T, namespace string) *team {
	t.Helper()
	require.NoError(t, loadSampleImage())
	there := newIdentity(t, target, "view")
	user := "system:serviceaccount:" + there.Account.Namespace + ":" + there.Account.Name
	made := &team{namespace: namespace, token: there.Token(t), user: user}
	newConnector(t, made.namespace, clusters.Target.Address, clusters.Target.CA, made.token)
	return made
}

// samples are what docs/ci.md shows; tests use the very files.
var samples = filepath.Join("..", "..", "config", "samples", "ci")

// loadSampleImage gives the node an image of the name that samples use.
var loadSampleImage = sync.OnceValue(func() error {
	ctx := context.Background()
	toolbox, err := clusters.Toolbox(ctx)
	if err != nil {
		return err
	}
	toolbox.Tag = docsImage
	return clusters.BuildImage(ctx, toolbox)
})

// sample is a file of config/samples/ci, object by object, for the namespace.
func sample(t *testing.T, file, namespace string) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(samples, file))
	require.NoError(t, err)
	var objects []*unstructured.Unstructured
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.UnmarshalStrict(document, object))
		object.SetNamespace(namespace)
		objects = append(objects, object)
	}
	return objects
}

// typed is a sample's only object, as what it is.
func typed[T any](t *testing.T, file, namespace string) *T {
	t.Helper()
	objects := sample(t, file, namespace)
	require.Len(t, objects, 1)
	raw, err := objects[0].MarshalJSON()
	require.NoError(t, err)
	made := new(T)
	require.NoError(t, yaml.UnmarshalStrict(raw, made))
	return made
}

// mustKubectl runs kubectl on home, as an administrator, and it has to succeed.
func mustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	output, err := tryKubectl(t.Context(), stdin, args...)
	require.NoError(t, err, "kubectl %s: %s", strings.Join(args, " "), output)
	return output
}

func tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, clusters.Kubectl, append([]string{"--kubeconfig", clusters.Home.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// podsOf lists the Pods of a namespace that have the labels.
func podsOf(t *testing.T, namespace string, labels client.MatchingLabels) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	require.NoError(t, home.List(t.Context(), &pods, client.InNamespace(namespace), labels))
	return pods.Items
}

// assertTokenNowhere looks for the team's token where a runner could have put
// it: in Pods and what their containers printed, in Events and ConfigMaps, and
// in the runner's own objects.
func (tm *team) assertTokenNowhere(t *testing.T, kinds ...schema.GroupVersionKind) {
	t.Helper()
	core := corev1.SchemeGroupVersion
	kinds = append(kinds, core.WithKind("Pod"), core.WithKind("Event"), core.WithKind("ConfigMap"))
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		require.NoError(t, home.List(t.Context(), list, client.InNamespace(tm.namespace)))
		require.NotEmpty(t, list.Items, "there is no %s to look at", kind.Kind)
		raw, err := json.Marshal(list)
		require.NoError(t, err)
		assert.NotContains(t, string(raw), tm.token, "an object of kind %s has the token", kind.Kind)
	}
	for _, pod := range podsOf(t, tm.namespace, nil) {
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if status.State.Waiting == nil {
				assert.NotContains(t, logs(t, &pod, status.Name), tm.token, "container %s of Pod %s printed the token", status.Name, pod.Name)
			}
		}
	}
}

// injected tells whether a Pod has the sidecar.
func injected(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "connector-proxy" })
}

// exitCode is what a container that has ended ended with.
func exitCode(t *testing.T, pod *corev1.Pod, container string) int32 {
	t.Helper()
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name == container {
			require.NotNil(t, status.State.Terminated, "container %s has not ended: %+v", container, status.State)
			return status.State.Terminated.ExitCode
		}
	}
	require.Fail(t, "no such container", "%s in Pod %s", container, pod.Name)
	return -1
}
