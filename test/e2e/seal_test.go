package e2e

import (
	"crypto/tls"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// trap is a server of an attacker, which is reached from Pods and remembers
// whether anybody came with a token.
type trap struct {
	address, ca string
	caught      atomic.Int32
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "trap", time.Now().Add(time.Hour), net.ParseIP(clusters.MachineIP()))
	listener, err := net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), "0"))
	require.NoError(t, err)
	trap := &trap{address: "https://" + listener.Addr().String(), ca: ca}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			trap.caught.Add(1)
		}
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return trap
}

// TestForgedConfigMapIsNotFollowed: whoever may write ConfigMaps, but not read
// the Secret, cannot send the token elsewhere.
func TestForgedConfigMapIsNotFollowed(t *testing.T) {
	t.Parallel()
	namespace, trap := newNamespace(t), newTrap(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	yes := true
	forged := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ConnectionConfigMapName("k8s-connector"), Namespace: namespace},
		// The controller cannot mend what is immutable.
		Immutable: &yes,
		Data: map[string]string{
			v1alpha1.ConnectionKeyAddress: trap.address, v1alpha1.ConnectionKeyCA: trap.ca,
			v1alpha1.ConnectionKeySeal: strings.Repeat("0", 64),
		},
	}
	// The controller writes the right one again at once: be faster.
	eventually(t, func() bool {
		require.NoError(t, client.IgnoreNotFound(home.Delete(t.Context(), forged.DeepCopy())))
		return home.Create(t.Context(), forged.DeepCopy()) == nil
	}, "the ConfigMap cannot be forged")
	eventually(t, func() bool {
		_, _ = execute(t, pod, "app", "", "kubectl", "get", "pods", "-A")
		return strings.Contains(logs(t, pod, "connector-proxy"), "not sealed with this token")
	}, "the sidecar does not see the forged ConfigMap")
	output, err := execute(t, pod, "app", "", "kubectl", "get", "pods", "-A")
	require.NoError(t, err, output)
	assert.Zero(t, trap.caught.Load(), "the token went to the attacker")
}

// TestTokenStaysWithItsAddress: a Connector that is pointed at another server,
// with another Secret, does not bring that server the token of running Pods.
func TestTokenStaysWithItsAddress(t *testing.T) {
	t.Parallel()
	namespace, trap := newNamespace(t), newTrap(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	create(t, home, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: namespace},
		Type:       connector.SecretTypeBearerToken,
		StringData: map[string]string{connector.SecretKeyToken: "a-token-of-the-other-server", connector.SecretKeyCA: trap.ca},
	})
	var c v1alpha1.Connector
	require.NoError(t, home.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "k8s-connector"}, &c))
	c.Spec.Address, c.Spec.Auth.SecretRef.Name = trap.address, "other"
	require.NoError(t, home.Update(t.Context(), &c))
	eventually(t, func() bool {
		return strings.Contains(logs(t, pod, "connector-proxy"), "not sealed with this token")
	}, "the sidecar does not see the new ConfigMap")
	output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
	require.NoError(t, err, output)
	assert.Contains(t, output, "system:serviceaccount:", "the Pod goes on with the cluster it was started for")
	// The controller itself asks the other server, with the other token.
	assert.NotContains(t, logs(t, pod, "connector-proxy"), trap.address)
}
