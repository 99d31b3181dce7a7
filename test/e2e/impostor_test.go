package e2e

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
)

// TestHostsRewritten: the app, which is root in its container, shares /etc/hosts with
// the sidecar. It can say where the API server is, and get nothing out of that: the
// token is for who has its certificate.
func TestHostsRewritten(t *testing.T) {
	t.Parallel()
	var calls, requests atomic.Int32
	const name = "kubernetes" // of the target's certificate; only this Pod can look it up
	certificate, _ := testkit.Certificate(t, name, time.Now().Add(time.Hour))
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	impostor.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		calls.Add(1)
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}, nil
	}}
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
	require.NoError(t, impostor.Listener.Close())
	ip, port, err := net.SplitHostPort(strings.TrimPrefix(clusters.Target.Address, "https://"))
	require.NoError(t, err)
	impostor.Listener, err = net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), port))
	require.NoError(t, err)
	impostor.StartTLS()
	t.Cleanup(impostor.Close)

	namespace := newNamespace(t)
	account := newIdentity(t, target, "view")
	create(t, home, tokenSecret(namespace, account.Token(t)))
	makeConnector(t, namespace, "https://"+name+":"+port, clusters.Target.CA)
	pod := sleeper(namespace)
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64)}
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: ip, Hostnames: []string{name}}}
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	point := func(to string) {
		output, err := execute(t, pod, "app", to+"\t"+name+"\n", "sh", "-c", "cat > /etc/hosts")
		require.NoError(t, err, output)
	}

	point(clusters.MachineIP())
	for _, context := range contexts {
		// Before, the CA of the Connector may not have arrived.
		var seen struct{ output string }
		eventually(t, func() bool {
			output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "get", "--raw", "/api")
			require.Error(t, err)
			seen.output = output
			return strings.Contains(output, "the certificate of "+name+":"+port+" is signed by an unknown authority")
		}, "%s does not say who answered, but %v", context, &seen)
	}
	assert.NotZero(t, calls.Load())
	assert.Zero(t, requests.Load(), "the impostor was sent a request")
	assert.NotContains(t, logs(t, pod, "connector-proxy"), "eyJ", "no token is in the log")
	point(ip)
	eventually(t, func() bool {
		output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
		return err == nil && strings.Contains(output, account.Account.Namespace)
	}, "the real server is not found again")
}
