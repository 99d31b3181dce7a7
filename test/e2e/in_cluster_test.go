package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

const (
	inClusterImage    = "kube-connector/in-cluster:dev"
	serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// inClusterPod is a Pod whose containers know nothing of a kubeconfig: an init
// container and "own" with kubectl, and "informer" with client-go.
func inClusterPod(namespace, there string) *corev1.Pod {
	pod := sleeper(namespace)
	pod.Annotations[v1alpha1.AnnotationInCluster] = "true"
	app := &pod.Spec.Containers[0]
	app.Image = inClusterImage
	app.Env = []corev1.EnvVar{{Name: "APISERVER", Value: "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT_HTTPS)"}}
	with := func(name string, env []corev1.EnvVar, command ...string) corev1.Container {
		c := *app.DeepCopy()
		c.Name, c.Env, c.Command = name, env, command
		return c
	}
	pod.Spec.InitContainers = []corev1.Container{
		with("before", nil, "env", "-u", "KUBECONFIG", "kubectl", "-n", there, "get", "configmap", "word", "-o", "jsonpath=says {.data.word}"),
	}
	pod.Spec.Containers = append(pod.Spec.Containers,
		with("own", []corev1.EnvVar{{Name: "KUBECONFIG", Value: ""}}, "sleep", "3600"),
		with("informer", nil, "incluster", there))
	return pod
}

// TestInCluster: programs that take their own cluster for granted reach that of
// the Connector, and go on when the sidecar is killed.
func TestInCluster(t *testing.T) {
	t.Parallel()
	require.NoError(t, bed.BuildImage(t.Context(), inClusterImage, "./incluster"))
	namespace, who := newNamespace(t), newIdentity(t, target, "view")
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, who.Token(t))
	there := makeNamespace(t, target, nil) // home has none of this name
	word := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "word", Namespace: there}, Data: map[string]string{"word": "first"}}
	create(t, target, word)
	pod := inClusterPod(namespace, there)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	t.Run("mounts", func(t *testing.T) {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			var mounted []string
			for _, m := range c.VolumeMounts {
				if m.MountPath == serviceAccountDir {
					mounted = append(mounted, m.Name)
				}
			}
			want := "connectors-in-cluster"
			if c.Name == "connector-proxy" {
				want = "connectors-no-api-token"
			}
			assert.Equal(t, []string{want}, mounted, c.Name)
		}
		for command, want := range map[string]string{
			"cat " + serviceAccountDir + "/namespace": namespace,
			"echo $APISERVER":                         "https://127.0.0.1:17445\n",
		} {
			output, err := execute(t, pod, "app", "", "sh", "-c", command)
			require.NoError(t, err, output)
			assert.Equal(t, want, output)
		}
		output, err := execute(t, pod, "app", "", "sh", "-c", "echo x > "+serviceAccountDir+"/token")
		require.Error(t, err)
		assert.Contains(t, output, "Read-only file system")
	})
	t.Run("init container", func(t *testing.T) { assert.Equal(t, "says first", logs(t, pod, "before")) })
	reach(t, pod, there, "first")
	for container, unset := range map[string]string{"app": "env -u KUBECONFIG ", "own": ""} {
		output, err := execute(t, pod, container, "", "sh", "-c", unset+"kubectl auth whoami -o jsonpath='{.status.userInfo.username}'")
		require.NoError(t, err, output)
		assert.Equal(t, "system:serviceaccount:"+who.Account.Namespace+":"+who.Account.Name, output)
	}

	require.NoError(t, syscall.Kill(processOf(t, pod, "connector-proxy"), syscall.SIGKILL))
	pod = awaitPod(t, pod, "running with a new sidecar", func(p *corev1.Pod) bool {
		sidecar := p.Status.InitContainerStatuses[0]
		return sidecar.RestartCount == 1 && sidecar.State.Running != nil && running(p)
	})
	word.Data["word"] = "second"
	require.NoError(t, target.Update(t.Context(), word))
	reach(t, pod, there, "second")
	for _, status := range pod.Status.ContainerStatuses {
		assert.Zero(t, status.RestartCount, "container %s restarted", status.Name)
	}
}

// reach checks that every client in the Pod reads what only the target says.
func reach(t *testing.T, pod *corev1.Pod, there, word string) {
	t.Helper()
	get := "kubectl -n " + there + " get configmap word -o jsonpath='says {.data.word}'"
	for name, test := range map[string]struct{ container, command string }{
		"kubectl, KUBECONFIG unset":      {"app", "env -u KUBECONFIG " + get},
		"kubectl, KUBECONFIG empty":      {"own", get},
		"kubectl, with the kubeconfig":   {"app", get},
		"kubectl, KUBECONFIG of its own": {"own", "KUBECONFIG=/var/run/connectors.alauda.io/kubeconfig " + get},
	} {
		t.Run(name+", "+word, func(t *testing.T) {
			output, err := execute(t, pod, test.container, "", "sh", "-c", test.command)
			require.NoError(t, err, output)
			assert.Equal(t, "says "+word, output)
		})
	}
	t.Run("client-go, "+word, func(t *testing.T) {
		eventually(t, func() bool { return strings.Contains(logs(t, pod, "informer"), "says "+word+"\n") }, "the informer does not see it")
	})
	t.Run("Python, "+word, func(t *testing.T) {
		output, err := inPlaceOf(t, pod, "app", "/usr/bin/python3", "testdata/clients/incluster.py", there, "word").CombinedOutput()
		require.NoError(t, err, "%s", output)
		assert.Equal(t, "says "+word+"\n", string(output))
	})
}

// inPlaceOf is a program of this machine where a container is: in its network, with
// its environment, and with the files of its ServiceAccount where it has them. No
// image has Python.
func inPlaceOf(t *testing.T, pod *corev1.Pod, container string, command ...string) *exec.Cmd {
	t.Helper()
	process := fmt.Sprintf("/proc/%d", processOf(t, pod, container))
	const script = `mount -t tmpfs none /run
		mkdir -p "$(dirname "$1")"
		ln -s "$0/root$1" "$1"
		shift
		exec "$@"`
	args := []string{"--net=" + process + "/ns/net", "unshare", "--mount", "sh", "-ec", script, process, serviceAccountDir}
	cmd := exec.CommandContext(t.Context(), "nsenter", append(args, command...)...)
	environment, err := os.ReadFile(process + "/environ")
	require.NoError(t, err)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if variable != "" && !strings.HasPrefix(variable, "PATH=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	return cmd
}
