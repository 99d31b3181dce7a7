package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// contexts are those of a kubeconfig with one connector.
var contexts = []string{"k8s", "k8s-localhost"}

// gateway is what stands before an API server in many places: it has a
// certificate of its own, and the API below a path.
type gateway struct {
	address string
	outside atomic.Int32 // requests that were not below the path
	served  atomic.Int32

	certificate atomic.Pointer[tls.Certificate]
	disconnect  func() // every client
}

func newGateway(t *testing.T, api *cluster.API, prefix string) (g *gateway, ca string) {
	t.Helper()
	g = &gateway{}
	ca = g.renew(t)
	backend, err := url.Parse(api.Address)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(api.CA))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(backend) },
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), "0"))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, prefix+"/") {
			g.outside.Add(1)
			http.NotFound(w, r)
			return
		}
		g.served.Add(1)
		http.StripPrefix(prefix, proxy).ServeHTTP(w, r)
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	// Not GetCertificate, which nobody asks for a client that names an IP address.
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*g.certificate.Load()}}, nil
	}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	g.disconnect = server.CloseClientConnections
	t.Cleanup(func() {
		server.CloseClientConnections() // watches go on otherwise
		server.Close()
		transport.CloseIdleConnections()
	})
	g.address = "https://" + listener.Addr().String() + prefix
	return g, ca
}

// renew gives the gateway a new certificate, of a new CA.
func (g *gateway) renew(t *testing.T) (ca string) {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "gateway", time.Now().Add(time.Hour), net.ParseIP(clusters.MachineIP()))
	g.certificate.Store(&certificate)
	return ca
}

// TestAddressWithAPath: the API may be below a path, and everything works there
// as elsewhere.
func TestAddressWithAPath(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	gateway, ca := newGateway(t, clusters.Home, "/kubernetes/global")
	newConnector(t, namespace, gateway.address, []byte(ca), newIdentity(t, home, "cluster-admin").Token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	served := gateway.served.Load()

	for _, context := range contexts {
		t.Run(context, func(t *testing.T) {
			for command, want := range map[string]string{
				"auth whoami":                         "system:serviceaccount:",
				"get pod " + pod.Name + " -o name":    "pod/" + pod.Name,
				"exec " + pod.Name + " -- hostname":   pod.Name,
				"explain pod.spec.containers.command": "ENTRYPOINT",
				"get --raw /readyz":                   "ok",
			} {
				output, err := execute(t, pod, "app", "", "sh", "-c", "kubectl --context="+context+" "+command)
				require.NoError(t, err, output)
				assert.Contains(t, output, want, command)
			}
		})
	}
	assert.Greater(t, gateway.served.Load(), served)
	assert.Zero(t, gateway.outside.Load(), "requests that are not below the address")
}

// TestPrivateCA: each place for the target's CA is enough by itself; without any,
// the status says what is missing. Nothing runs beside it: a CA for all Connectors
// is one for other tests' Connectors, too.
func TestPrivateCA(t *testing.T) {
	ca := map[string][]byte{connector.SecretKeyCA: clusters.Target.CA}
	for place, provide := range map[string]func(*testing.T, *v1alpha1.Connector){
		"caCertSecretRef": func(t *testing.T, c *v1alpha1.Connector) {
			t.Helper()
			create(t, home, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "k8s-ca", Namespace: c.Namespace}, Data: ca})
			c.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "k8s-ca"}
			require.NoError(t, home.Update(t.Context(), c))
		},
		"beside the token": func(t *testing.T, c *v1alpha1.Connector) {
			t.Helper()
			var secret corev1.Secret
			require.NoError(t, home.Get(t.Context(), types.NamespacedName{Namespace: c.Namespace, Name: "k8s-secret"}, &secret))
			secret.Data[connector.SecretKeyCA] = clusters.Target.CA
			require.NoError(t, home.Update(t.Context(), &secret))
		},
		"for all Connectors": func(t *testing.T, _ *v1alpha1.Connector) {
			t.Helper()
			create(t, home, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					GenerateName: "ca-", Namespace: "connectors-system", Labels: map[string]string{connector.LabelCACert: "true"},
				},
				Data: ca,
			})
		},
	} {
		t.Run(place, func(t *testing.T) {
			namespace := newNamespace(t)
			create(t, home, tokenSecret(namespace, newIdentity(t, target, "view").Token(t)))
			c := connectorObject(namespace, clusters.Target.Address)
			c.Spec.CACertSecretRef = nil
			create(t, home, c)
			awaitReady(t, c, metav1.ConditionFalse, v1alpha1.ReasonCertificateInvalid)
			require.NoError(t, home.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: c.Name}, c))
			provide(t, c)
			awaitReady(t, c, metav1.ConditionTrue, v1alpha1.ReasonReady)

			pod := sleeper(namespace)
			create(t, home, pod)
			pod = awaitPod(t, pod, "running", running)
			for _, context := range contexts {
				output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "auth", "whoami")
				require.NoError(t, err, output)
				assert.Contains(t, output, "system:serviceaccount:")
			}
		})
	}
}
