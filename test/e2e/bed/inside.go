package bed

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// Execute runs a command in a container and returns what it prints. The error
// is the command's.
func Execute(t *testing.T, pod *corev1.Pod, container string, stdin string, command ...string) (string, error) {
	t.Helper()
	return ExecuteAs(t, Clusters.Home.RESTConfig(), pod, container, stdin, command...)
}

// ExecuteAs is Execute for somebody who is not a cluster admin.
func ExecuteAs(t *testing.T, config *rest.Config, pod *corev1.Pod, container string, stdin string, command ...string) (string, error) {
	t.Helper()
	request := HomeSet.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true,
		}, clientgoscheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
	})
	return stdout.String() + stderr.String(), err
}

// Logs returns what a container printed.
func Logs(t *testing.T, pod *corev1.Pod, container string) string {
	t.Helper()
	stream, err := HomeSet.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).Stream(t.Context())
	require.NoError(t, err)
	content, err := io.ReadAll(stream)
	require.NoError(t, errors.Join(err, stream.Close()))
	return string(content)
}

// Search looks for patterns from inside a container: in its environment, in every file
// it can read, and in what /proc shows of processes. It returns where they are.
func Search(t *testing.T, pod *corev1.Pod, container string, patterns ...string) string {
	t.Helper()
	// Patterns come on standard input, so that the search does not find itself.
	const search = `p=/tmp/p.$$; cat > $p 2>/dev/null || { p=/dev/shm/p.$$; cat > $p; }
		find / -xdev -type f ! -path "$p" -exec grep -lF -f $p {} + 2>/dev/null
		find /var/run /dev/shm /tmp -type f ! -path "$p" -exec grep -lF -f $p {} + 2>/dev/null
		grep -lF -f $p /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
		env | grep -F -f $p
		rm $p`
	found, err := Execute(t, pod, container, strings.Join(patterns, "\n")+"\n", "sh", "-c", search)
	require.NoError(t, err)
	return found
}

// ProcessOf is a process of a container, as this machine knows it.
func ProcessOf(t *testing.T, pod *corev1.Pod, container string) int {
	t.Helper()
	var id string
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name == container {
			id = status.ContainerID
		}
	}
	pid, err := cluster.ContainerProcess(id)
	require.NoError(t, err, container)
	return pid
}
