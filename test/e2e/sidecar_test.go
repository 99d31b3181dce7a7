package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/inject"
)

// sidecarProcess is the process of the sidecar of a namespace's only Pod, as the node
// sees it.
func sidecarProcess(t *testing.T, namespace string) (pid int) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range processes {
		arguments, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(arguments, []byte("/sidecar\x00run\x00--connector="+namespace+"/")) {
			continue // or it has ended
		}
		require.Zero(t, pid, "there are two")
		pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		require.NoError(t, err)
	}
	require.NotZero(t, pid, "there is none")
	return pid
}

// TestSidecarProcess: what the kernel lets the sidecar of a Pod do, and others do to
// it. When it is killed, it comes back as what the app knows.
func TestSidecarProcess(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	account := newIdentity(t, target, "view")
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, account.Token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	pid := sidecarProcess(t, namespace)

	proc := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(proc + "status")
	require.NoError(t, err)
	for _, want := range []string{
		`Uid:\s65532\s65532\s65532\s65532`, `Gid:\s65532\s65532\s65532\s65532`, `NoNewPrivs:\s1`,
		`CapInh:\s0+`, `CapPrm:\s0+`, `CapEff:\s0+`, `CapBnd:\s0+`, `CapAmb:\s0+`, `Seccomp:\s2`,
	} {
		assert.Regexp(t, "(?m)^"+want+"$", string(status))
	}
	memory, err := os.Stat(proc + "mem")
	require.NoError(t, err)
	assert.Zero(t, memory.Sys().(*syscall.Stat_t).Uid, "not even its own user may read it")
	mounts, err := os.ReadFile(proc + "mounts")
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^\S+ / \S+ ro[, ]`, string(mounts))
	environment, err := os.ReadFile(proc + "environ")
	require.NoError(t, err)
	assert.NotContains(t, string(environment), "eyJ", "no token is in the environment")
	programs, err := filepath.Glob(proc + "root/*bin/*")
	require.NoError(t, err)
	assert.Empty(t, programs, "there is nothing to run but the sidecar")

	const kubeconfig = "/var/run/connectors.alauda.io/kubeconfig"
	before, err := execute(t, pod, "app", "", "cat", kubeconfig)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	pod = awaitPod(t, pod, "running with a new sidecar", func(pod *corev1.Pod) bool {
		sidecar := pod.Status.InitContainerStatuses[0]
		require.Equal(t, inject.SidecarName, sidecar.Name)
		return sidecar.RestartCount == 1 && sidecar.Started != nil && *sidecar.Started && running(pod)
	})
	assert.NotEqual(t, pid, sidecarProcess(t, namespace))
	after, err := execute(t, pod, "app", "", "cat", kubeconfig)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	for _, context := range contexts {
		assert.Contains(t, whoami(t, pod, context), account.Account.Namespace)
	}
	assert.Zero(t, pod.Status.ContainerStatuses[0].RestartCount, "of the app")
}

// patchWebhook gives the webhook one more argument until the test ends. Nothing else
// may run then.
func patchWebhook(t *testing.T, argument string) {
	t.Helper()
	patch := `[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "` + argument + `"}]`
	kubectl(t, "", "-n", systemNamespace, "patch", "deployment", "connector-webhook", "--type=json", "-p", patch)
	t.Cleanup(func() {
		kubectl(t, "", "-n", systemNamespace, "rollout", "undo", "deployment/connector-webhook")
		rolledOut(t, "connector-webhook")
		awaitProduct(t)
	})
	rolledOut(t, "connector-webhook")
}

// TestSidecarMetrics: if the operator wants them, somebody outside of a Pod gets the
// metrics of its sidecar, where the Pod says.
func TestSidecarMetrics(t *testing.T) {
	namespace := newNamespace(t)
	token := newIdentity(t, target, "view").Token(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, token)
	prometheus := server(t)
	patchWebhook(t, "--sidecar-metrics-port=17446")
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	ports := pod.Spec.InitContainers[0].Ports
	require.Len(t, ports, 1)
	require.Equal(t, corev1.ContainerPort{Name: "http-connectors", ContainerPort: 17446, Protocol: corev1.ProtocolTCP}, ports[0])

	for _, context := range contexts {
		whoami(t, pod, context)
	}
	metrics, err := execute(t, prometheus, "app", "", "wget", "-q", "-O", "-", "http://"+net.JoinHostPort(pod.Status.PodIP, "17446")+"/metrics")
	require.NoError(t, err, metrics)
	assert.Contains(t, metrics, `kube_connector_sidecar_requests_total{connector="`+namespace+`/k8s-connector",verb="POST",code="201"} 2`)
	assert.NotContains(t, metrics, token)
	assert.NotContains(t, metrics, strings.Split(token, ".")[2])
}
