// Package operations runs the programs as processes on a real API server, and takes
// away what they need: what docs/operations.md says of that is shown here.
package operations

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	root     = "../.."
	system   = "connectors-system"
	patience = 2 * time.Minute
	tick     = 100 * time.Millisecond
)

var (
	// programs is the directory of the programs.
	programs string
	server   *apiserver.Server
	admin    client.Client
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "operations:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if programs, err = os.MkdirTemp("", "kube-connector-operations-*"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	build := exec.CommandContext(context.Background(), "go", "build", "-o", programs, "./cmd/controller", "./cmd/webhook")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s", err, output)
	}
	if server, err = apiserver.Run(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := v1alpha1.AddToScheme(clientgoscheme.Scheme); err != nil {
		return 1, err
	}
	if admin, err = client.New(server.Config, client.Options{Scheme: clientgoscheme.Scheme}); err != nil {
		return 1, err
	}
	for _, object := range slices.Concat([]client.Object{namespace(system)}, rights("controller"), rights("webhook")) {
		if err := admin.Create(context.Background(), object); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// rights are what config/rbac gives a program.
func rights(program string) []client.Object {
	content, err := os.ReadFile(filepath.Join(root, "config", "rbac", program+"_role.yaml"))
	if err != nil {
		panic(err)
	}
	var objects []client.Object
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			panic(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// program is a program that runs.
type program struct {
	process         *os.Process
	ended           chan error
	log             *testkit.Log
	health, metrics string
}

// start starts a program against an API server at an address, as the user that it is
// in a cluster. It is killed at the end of the test, if it still runs.
func start(t *testing.T, name, address string, args ...string) *program {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: address, CertificateAuthorityData: server.Config.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: server.Config.CertData, ClientKeyData: server.Config.KeyData,
		Impersonate:       "system:serviceaccount:" + system + ":connector-" + name,
		ImpersonateGroups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))

	p := &program{ended: make(chan error, 1), log: &testkit.Log{}, health: freeAddress(t), metrics: freeAddress(t)}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(programs, name),
		append(args, "--metrics-bind-address="+p.metrics, "--health-probe-bind-address="+p.health)...)
	command.Env = append(os.Environ(), clientcmd.RecommendedConfigPathEnvVar+"="+path)
	command.Stderr = p.log
	require.NoError(t, command.Start())
	p.process = command.Process
	ended := make(chan struct{})
	go func() {
		p.ended <- command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = p.process.Kill() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.log)
		}
	})
	return p
}

// await waits until a page of a program has a status and a text.
func (p *program) await(t *testing.T, path string, status int, text string) {
	t.Helper()
	url := "http://" + p.health + path
	if path == "/metrics" {
		url = "http://" + p.metrics + path
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		got, body := get(url)
		assert.Equal(t, status, got, body)
		assert.Contains(t, body, text)
	}, patience, tick)
}

// says waits until the log of a program has a text.
func (p *program) says(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), text) }, patience, tick, text)
}

func get(url string) (status int, body string) {
	response, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
