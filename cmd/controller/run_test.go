package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kube-connector/kube-connector/internal/program"
	"github.com/kube-connector/kube-connector/internal/setup"
	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/controller"
	"github.com/kube-connector/kube-connector/pkg/probe"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"version"}, &stdout, &stderr))
	require.NotEmpty(t, stdout.String())
	require.Empty(t, stderr.String())
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		err  error
		told string
	}{
		{[]string{"-h"}, flag.ErrHelp, "Usage: controller [flags]"},
		{[]string{"--no-such-flag"}, program.ErrUsage, "flag provided but not defined"},
		{[]string{"start"}, program.ErrUsage, `unexpected argument "start"`},
		{[]string{"--log-level=loud"}, program.ErrUsage, "invalid value"},
		// client-go logs what it reads at such levels, Secrets included.
		{[]string{"--log-level=DEBUG-4"}, program.ErrUsage, "DEBUG is the least"},
	} {
		var stdout, stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), tc.args, &stdout, &stderr), tc.err, tc.args)
		require.Contains(t, stderr.String(), tc.told)
		require.Empty(t, stdout.String())
	}
}

// What the command line leaves out can stand in the ConfigMap.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log-level"), []byte("WARN"), 0o600))
	o, err := parseOptions([]string{"--settings-dir=" + dir}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, setup.LogLevel(slog.LevelWarn), o.logLevel)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "namespaces"), []byte("team-a, team-b"), 0o600))
	o, err = parseOptions([]string{"--settings-dir=" + dir}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"team-a", "team-b"}, o.namespaces)
	_, err = parseOptions([]string{"--namespaces=team-a,*"}, io.Discard)
	require.ErrorIs(t, err, program.ErrUsage)

	// No way around the limit of the command line.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log-level"), []byte("DEBUG-4"), 0o600))
	_, err = parseOptions([]string{"--settings-dir=" + dir}, io.Discard)
	require.ErrorContains(t, err, `setting "log-level" has the value "DEBUG-4", which is not valid: DEBUG is the least`)
}

func TestProbeFlags(t *testing.T) {
	o, err := parseOptions([]string{"--probe-period=5s", "--probe-timeout=2s", "--max-probes=8", "--probe-proxy-from-environment"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, controller.ProbeOptions{Max: 8, Options: probe.Options{Timeout: 2 * time.Second, ProxyFromEnvironment: true}}, o.probes)
	require.Equal(t, 5*time.Second, o.schedule().Ready)
	require.Equal(t, 5*time.Second, o.schedule().Failing, "what fails is not looked at less often")

	o, err = parseOptions(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, controller.DefaultSchedule(), o.schedule())

	for flag, told := range map[string]string{
		"--probe-period=0s":    "--probe-period is 0s; it must be 1s or more",
		"--probe-timeout=2m":   "--probe-timeout is 2m0s; it must be from 100ms to 1m",
		"--probe-timeout=1ms":  "it must be from 100ms to 1m",
		"--max-probes=0":       "--max-probes is 0; it must be from 1 to 10000",
		"--max-probes=1000000": "it must be from 1 to 10000",
	} {
		_, err := parseOptions([]string{flag}, io.Discard)
		require.ErrorContains(t, err, told)
	}
}

// The program leads, serves its probes, logs JSON, and lets the Lease go when it
// ends, so that the next one need not wait.
func TestRun(t *testing.T) {
	cluster := apiserver.Start(t)
	clients, err := kubernetes.NewForConfig(cluster)
	require.NoError(t, err)
	_, err = clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "system"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Setenv(clientcmd.RecommendedConfigPathEnvVar, kubeconfig(t, cluster))
	health, metrics := freeAddress(t), freeAddress(t)

	var stdout, stderr testkit.Log // klog writes for as long as the process lives
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"--leader-elect", "--system-namespace=system", "--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + health,
		}, &stdout, &stderr)
	}()

	holder := func() string {
		lease, err := clients.CoordinationV1().Leases("system").Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	// The clients of this test log through klog too, whose logger run sets first.
	require.Eventually(t, func() bool { return stderr.String() != "" }, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return holder() != "" }, 30*time.Second, 50*time.Millisecond)
	for _, path := range []string{"/healthz", "/readyz"} {
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			response, err := http.Get("http://" + health + path)
			if assert.NoError(t, err) {
				assert.NoError(t, response.Body.Close())
				assert.Equal(t, http.StatusOK, response.StatusCode)
			}
		}, 10*time.Second, 50*time.Millisecond)
	}
	response, err := http.Get("http://" + metrics + "/metrics")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	require.Regexp(t, `kube_connector_build_info{go_version="go[^"]+",program="controller",version="[^"]+"} 1`, string(body))
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, holder(), "the Lease is let go")
	require.NotEmpty(t, stderr.String())
	for line := range strings.Lines(stderr.String()) {
		require.True(t, json.Valid([]byte(line)), "%s", line)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// kubeconfig writes the access to a cluster into a file.
func kubeconfig(t *testing.T, cluster *rest.Config) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: cluster.Host, CertificateAuthorityData: cluster.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: cluster.CertData, ClientKeyData: cluster.KeyData}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}
