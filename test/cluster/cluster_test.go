package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file bring a real instance up, one that nobody else uses.
const (
	selftest = "selftest"
	// upInstead makes the test binary a program that brings the instance up
	// and then waits to be killed.
	upInstead = "KUBE_CONNECTOR_SELFTEST_UP"
)

func TestMain(m *testing.M) {
	if os.Getenv(upInstead) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	_, err := Up(ctx, Config{Name: selftest, Progress: os.Stderr})
	if err == nil {
		<-ctx.Done()
		err = errors.New("was up already")
	}
	stop()
	fmt.Println(err)
	os.Exit(1)
}

func needsMachine(t *testing.T) instance {
	t.Helper()
	require.NoError(t, checkRoot())
	i, err := newInstance(selftest)
	require.NoError(t, err)
	return i
}

// startUp runs Up in another process and returns when a program of that name
// runs in the instance.
func startUp(t *testing.T, i instance, until string) (up *exec.Cmd, output *bytes.Buffer) {
	t.Helper()
	_, err := Binaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	executable, err := os.Executable()
	require.NoError(t, err)
	output = &bytes.Buffer{}
	up = exec.Command(executable)
	up.Env = append(os.Environ(), upInstead+"=1")
	up.Stdout, up.Stderr = output, output
	require.NoError(t, up.Start())
	require.NoError(t, poll(t.Context(), time.Minute, func(context.Context) error {
		found, err := processesOf(i)
		if err == nil && !slices.ContainsFunc(found, func(f foundProcess) bool { return f.name == until }) {
			err = fmt.Errorf("no %s among %v", until, found)
		}
		return err
	}))
	return up, output
}

func processesOf(i instance) ([]foundProcess, error) {
	e, err := evidenceOf(i)
	if err != nil {
		return nil, err
	}
	return e.processes()
}

// machineState is what an instance must leave as it found it.
type machineState struct {
	Links, Namespaces, Mounts, Cgroups, Files []string
	Settings                                  map[string]string
}

func observe(t *testing.T) machineState {
	t.Helper()
	s := machineState{Settings: map[string]string{}}
	links, err := net.Interfaces()
	require.NoError(t, err)
	for _, link := range links {
		s.Links = append(s.Links, link.Name)
	}
	all, err := mounts()
	require.NoError(t, err)
	for _, m := range all {
		s.Mounts = append(s.Mounts, m.point)
	}
	v1, v2, err := cgroupRoots()
	require.NoError(t, err)
	for _, root := range slices.Concat(v1, v2) {
		s.Cgroups = append(s.Cgroups, glob(t, root+"/*")...)
	}
	s.Namespaces = glob(t, "/run/netns/*")
	// Where containerd, the kubelet and the network plugins would put things
	// if they ran in the machine's own mount namespace.
	for _, dir := range []string{"/run", "/var/lib", "/var/log", "/opt", runRoot, dataRoot} {
		s.Files = append(s.Files, glob(t, dir+"/*")...)
	}
	for _, names := range []*[]string{&s.Links, &s.Namespaces, &s.Mounts, &s.Cgroups, &s.Files} {
		*names = slices.DeleteFunc(*names, ofOthers)
	}
	for setting := range kernelSettings {
		content, err := os.ReadFile(setting)
		require.NoError(t, err)
		s.Settings[setting] = string(content)
	}
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	require.NoError(t, err)
	s.Settings["forward"] = string(forward)
	return s
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return names
}

// ofOthers tells whether a name is that of something of another instance, which
// may come and go at any time, or of a directory that all share.
func ofOthers(name string) bool {
	for other := range networks {
		for _, prefix := range []string{filepath.Join(runRoot, other), filepath.Join(dataRoot, other)} {
			if other != selftest && strings.HasPrefix(name, prefix) {
				return true
			}
		}
		if other != selftest && strings.HasPrefix(filepath.Base(name), "kc-"+other) {
			return true
		}
	}
	// iproute2 mounts /run/netns for good when it is first used.
	return slices.Contains([]string{runRoot, dataRoot, "/run/netns"}, name)
}

// TestInstance takes an instance through its life, one that begins badly.
func TestInstance(t *testing.T) {
	i := needsMachine(t)
	require.NoError(t, Down(t.Context(), selftest, nil), "whatever is left of an earlier run")
	before := observe(t)

	// An Up that is killed when half of it is there…
	killed, _ := startUp(t, i, "containerd")
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	left, err := processesOf(i)
	require.NoError(t, err)
	require.NotEmpty(t, left, "or this test shows nothing")
	e, err := evidenceOf(i)
	require.NoError(t, err)

	// …is cleaned up by the next.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := Up(ctx, Config{Name: selftest, Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, Down(context.Background(), selftest, nil)) })
	survivors, err := e.processes()
	require.NoError(t, err)
	for _, f := range left {
		assert.NotContains(t, survivors, f, "a process of the killed run")
	}

	t.Run("is locked", func(t *testing.T) {
		_, err := Up(ctx, Config{Name: selftest})
		require.ErrorContains(t, err, fmt.Sprintf("cluster selftest is in use by process %d (", os.Getpid()))
		assert.ErrorContains(t, Down(ctx, selftest, nil), "in use by process")
	})
	t.Run("can be attached to", func(t *testing.T) {
		attached, err := Attach(selftest)
		require.NoError(t, err)
		assert.NoError(t, attached.Home.ready(ctx))
		assert.Equal(t, c.Target.CA, attached.Target.CA)
		assert.Equal(t, c.Kubectl, attached.Kubectl)
	})
	t.Run("runs Pods", func(t *testing.T) { testPods(ctx, t, c) })

	e, err = evidenceOf(i)
	require.NoError(t, err)
	running, err := e.processes()
	require.NoError(t, err)
	for _, name := range []string{"etcd", "kube-apiserver", "containerd", "kubelet", "kube-proxy", "pause", "httpd"} {
		assert.True(t, slices.ContainsFunc(running, func(f foundProcess) bool { return f.name == name }), "no evidence of %s in %v", name, running)
	}

	require.NoError(t, c.Down(ctx))
	// By the old evidence: the namespaces no longer have names to find them by.
	survivors, err = e.processes()
	require.NoError(t, err)
	assert.Empty(t, survivors)
	assert.Equal(t, before, observe(t))
	_, err = Attach(selftest)
	require.ErrorContains(t, err, "cluster selftest is not up")
	require.NoError(t, Down(ctx, selftest, nil), "taking down what is not up is fine")
	assert.Equal(t, before, observe(t))
}

const podManifest = `
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true}
  containers:
  - name: server
    image: kube-connector/toolbox:dev
    command: [sh, -c, "echo hello > /tmp/index.html; kubectl version --client; exec httpd -f -p 8080 -h /tmp"]
    volumeMounts: [{name: memory, mountPath: /memory}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: client, image: kube-connector/toolbox:dev, command: [sleep, "3600"]}]
`

func testPods(ctx context.Context, t *testing.T, c *Cluster) {
	t.Helper()
	kubectl := func(stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, c.Kubectl, append([]string{"--kubeconfig", c.Home.Kubeconfig}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		output, err := cmd.CombinedOutput()
		return string(output), err
	}
	output, err := kubectl(podManifest, "apply", "-f", "-")
	require.NoError(t, err, output)
	output, err = kubectl("", "wait", "--for=condition=Ready", "--timeout=60s", "pod/server", "pod/client")
	require.NoError(t, err, output)

	output, err = kubectl("", "logs", "server")
	require.NoError(t, err, output)
	assert.Contains(t, output, "Client Version: v1.36.3")

	// kube-proxy writes its rules a moment after the endpoint is ready.
	require.NoError(t, poll(ctx, 20*time.Second, func(context.Context) error {
		output, err := kubectl("", "exec", "client", "--", "sh", "-c", "exec wget -q -O- http://$SERVER_SERVICE_HOST/")
		if err == nil && output != "hello\n" {
			err = errors.New("answered")
		}
		if err != nil {
			err = fmt.Errorf("the Service from a Pod: %w: %s", err, output)
		}
		return err
	}))

	output, err = kubectl("", "exec", "client", "--", "kubectl", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	require.NoError(t, err, "a Pod asks its own API server: %s", output)
	assert.Equal(t, "system:serviceaccount:default:default", output)

	output, err = kubectl(string(c.Target.CA), "exec", "-i", "client", "--", "sh", "-c",
		"cat > /tmp/ca; exec kubectl --server "+c.Target.Address+" --certificate-authority /tmp/ca --token none get --raw /version")
	require.ErrorContains(t, err, "exit status 1")
	assert.Contains(t, output, "Unauthorized", "the target answers a Pod, and trusts none of home's tokens")

	output, err = kubectl("", "exec", "client", "--", "wget", "-q", "-O-", "http://192.0.2.1/")
	require.Error(t, err)
	assert.Contains(t, output, "Network is unreachable", "nothing leads out")

	output, err = kubectl("", "get", "events", "--field-selector", "type=Warning,involvedObject.kind=Pod,reason!=Unhealthy", "-o", "jsonpath={.items[*].message}")
	require.NoError(t, err, output)
	assert.Empty(t, output, "Pods run without warnings")
}

// TestUpIsCancelled asks an Up to stop when half of it is there.
func TestUpIsCancelled(t *testing.T) {
	i := needsMachine(t)
	require.NoError(t, Down(t.Context(), selftest, nil))
	before := observe(t)
	up, output := startUp(t, i, "kube-apiserver")
	require.NoError(t, up.Process.Signal(syscall.SIGTERM))
	require.Error(t, up.Wait())
	assert.Contains(t, output.String(), "terminated signal received")
	assert.NotContains(t, output.String(), "the end of", "nobody wants the logs of what he has stopped himself")
	assert.Equal(t, before, observe(t))
	found, err := processesOf(i)
	require.NoError(t, err)
	assert.Empty(t, found)
}
