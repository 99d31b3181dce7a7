package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// localSidecar is a sidecar on this machine, for clients that are not in the
// images of the tests.
type localSidecar struct {
	kubeconfig string
	config     *clientcmdapi.Config
	process    *os.Process
}

// startLocalSidecar starts one that reaches the home cluster, which has a node.
func startLocalSidecar(t *testing.T, token string) *localSidecar {
	t.Helper()
	return startSidecar(t, clusters.Home.Address, clusters.Home.CA, token)
}

func startSidecar(t *testing.T, address string, ca []byte, token string) *localSidecar {
	t.Helper()
	// Short: the path of the ready socket has to fit into 108 bytes.
	dir, err := os.MkdirTemp("", "sidecar") //nolint:usetesting // t.TempDir is too long
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	for path, content := range map[string]string{
		"credentials/team-a/home/token": token, "credentials/team-a/home/ca.crt": string(ca), "state/.keep": "",
	} {
		path = filepath.Join(dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	program := filepath.Join(dir, "sidecar")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/sidecar").CombinedOutput()
	require.NoError(t, err, "%s", output)

	s := &localSidecar{kubeconfig: filepath.Join(dir, "kubeconfig")}
	run := exec.CommandContext(context.WithoutCancel(t.Context()), program, "run", "--unsealed",
		"--connector=team-a/home="+address, "--credentials-dir="+filepath.Join(dir, "credentials"),
		"--state-dir="+filepath.Join(dir, "state"), "--kubeconfig="+s.kubeconfig,
		"--proxy-port="+freePort(t), "--localhost-port="+freePort(t))
	var log bytes.Buffer
	run.Stderr = &log
	require.NoError(t, run.Start())
	s.process = run.Process
	t.Cleanup(func() {
		assert.NoError(t, run.Process.Signal(os.Interrupt))
		assert.NoError(t, run.Wait(), "%s", &log)
		assert.NotContains(t, log.String(), token)
	})
	output, err = exec.CommandContext(t.Context(), program, "wait", "--state-dir="+filepath.Join(dir, "state")).CombinedOutput()
	require.NoError(t, err, "%s", output)
	s.config, err = clientcmd.LoadFromFile(s.kubeconfig)
	require.NoError(t, err)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

// TestClients: real clients list, watch and exec through the
// sidecar. They run on this machine, beside a sidecar of their own.
func TestClients(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t, home, nil)
	pod := sleeper(namespace)
	pod.Annotations = nil
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	sidecar := startLocalSidecar(t, newIdentity(t, home, "cluster-admin").Token(t))

	python := func(context string) *exec.Cmd {
		// Debian's, whatever else is in the PATH.
		return exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/clients/client.py", sidecar.kubeconfig, context, namespace, pod.Name)
	}
	javascript := javascriptClient(t)
	for name, client := range map[string]*exec.Cmd{
		"Python, localhost":     python("k8s-localhost"),
		"JavaScript, proxy":     exec.CommandContext(t.Context(), "node", javascript, sidecar.kubeconfig, "k8s", namespace, pod.Name),
		"JavaScript, localhost": exec.CommandContext(t.Context(), "node", javascript, sidecar.kubeconfig, "k8s-localhost", namespace, pod.Name),
	} {
		t.Run(name, func(t *testing.T) {
			output, err := client.CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.Regexp(t, `listed \[ ?'`+pod.Name+`' ?\]`, string(output))
			assert.Contains(t, string(output), "watched ADDED")
			assert.Contains(t, string(output), "executed "+pod.Name)
		})
	}
	t.Run("Python, proxy", func(t *testing.T) {
		output, err := python("k8s").CombinedOutput()
		require.Error(t, err, "this version ignores proxy-url: docs/kubeconfig.md says so")
		assert.Contains(t, string(output), "certificate verify failed", "it trusts the sidecar only, so it sends the API server nothing")
	})
	for _, name := range contexts {
		t.Run("client-go, "+name, func(t *testing.T) {
			config, err := clientcmd.NewNonInteractiveClientConfig(*sidecar.config, name, nil, nil).ClientConfig()
			require.NoError(t, err)
			set, err := kubernetes.NewForConfig(config)
			require.NoError(t, err)
			got, err := set.CoreV1().Pods(namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
			require.NoError(t, err)
			assert.Equal(t, pod.UID, got.UID)
		})
	}
	t.Run("curl, localhost", func(t *testing.T) { sidecar.curl(t, pod) })
}

// curl needs no more than a URL, a CA and a token, as so much else.
func (s *localSidecar) curl(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	server := s.config.Clusters["k8s-localhost"]
	ca := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(ca, server.CertificateAuthorityData, 0o600))
	output, err := exec.CommandContext(t.Context(), "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", ca,
		"--oauth2-bearer", s.config.AuthInfos["k8s-localhost"].Token,
		server.Server+"/api/v1/namespaces/"+pod.Namespace+"/pods/"+pod.Name).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), string(pod.UID))
}

// javascriptPackages is where installClients has put what the JavaScript client
// needs.
var javascriptPackages string

// installClients installs the clients that are not the repository's own.
func installClients(ctx context.Context) error {
	wanted := []cluster.Package{{Name: "python3-kubernetes", Use: "the Python client"}, {Name: "curl", Use: "curl"}}
	if _, err := exec.LookPath("npm"); err != nil {
		wanted = append(wanted, cluster.Package{Name: "nodejs", Use: "the JavaScript client"}, cluster.Package{Name: "npm", Use: "installs the JavaScript client"})
	}
	if err := cluster.InstallPackages(ctx, os.Stderr, wanted...); err != nil {
		return err
	}
	const source = "testdata/clients"
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "kube-connector")
	javascriptPackages = filepath.Join(cache, fmt.Sprintf("npm-%x", sha256.Sum256(lock))[:20])
	if _, err := os.Stat(javascriptPackages); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(cache, ".npm-*") // in one file system with its place
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.CopyFS(temp, os.DirFS(source)); err != nil {
		return err
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = temp
	if output, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return os.Rename(temp, javascriptPackages)
}

// javascriptClient is the script with the packages that it needs beside it.
func javascriptClient(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/clients/client.js")
	require.NoError(t, err)
	path = filepath.Join(dir, "client.mjs")
	require.NoError(t, os.WriteFile(path, script, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(javascriptPackages, "node_modules"), filepath.Join(dir, "node_modules")))
	return path
}
