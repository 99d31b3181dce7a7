package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// scene is what a user has who has done everything right: an enabled namespace
// with the Secret "good" and the Connector "good". Beside them are Secrets and
// servers for those who have not.
type scene struct {
	t         *testing.T
	namespace string
	count     int

	token string
	// The addresses of servers that are no good.
	dead, stalled, plain, expired, misnamed string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, token: newIdentity(t, target, "view").Token(t)}
	s.namespace = s.newNamespace(map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
	secret := func(name, secretType, key, token, ca string) {
		object := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
			Type:       corev1.SecretType(secretType),
			StringData: map[string]string{key: token},
		}
		if ca != "" {
			object.StringData[connector.SecretKeyCA] = ca
		}
		create(t, home, object)
	}
	good := string(clusters.Target.CA)
	secret("wrong-type", "Opaque", "token", s.token, good)
	secret("wrong-key", connector.SecretTypeBearerToken, "Token", s.token, good)
	secret("with-bearer", connector.SecretTypeBearerToken, "token", "Bearer "+s.token, good)
	secret("refused", connector.SecretTypeBearerToken, "token", "not-a-token-of-the-target", good)
	secret("without-ca", connector.SecretTypeBearerToken, "token", s.token, "")

	var ca string
	s.expired, ca = s.server("expired", time.Now().Add(-time.Hour))
	secret("expired", connector.SecretTypeBearerToken, "token", s.token, ca)
	s.misnamed, ca = s.server("misnamed", time.Now().Add(time.Hour))
	secret("misnamed", connector.SecretTypeBearerToken, "token", s.token, ca)
	plain := httptest.NewUnstartedServer(http.NotFoundHandler())
	require.NoError(t, plain.Listener.Close())
	plain.Listener = s.listen()
	plain.Start()
	t.Cleanup(plain.Close)
	s.plain = "https://" + plain.Listener.Addr().String()
	// The kernel takes connections, and nobody answers.
	s.stalled = "https://" + s.listen().Addr().String()
	dead := s.listen()
	require.NoError(t, dead.Close())
	s.dead = "https://" + dead.Addr().String()
	return s
}

// newNamespace makes a namespace with a Connector that works.
func (s *scene) newNamespace(labels map[string]string) string {
	s.t.Helper()
	namespace := makeNamespace(s.t, home, labels)
	secret := tokenSecret(namespace, s.token)
	secret.Name = "good"
	secret.StringData[connector.SecretKeyCA] = string(clusters.Target.CA)
	create(s.t, home, secret)
	kubectl(s.t, connectorManifest("good", faulty{}), "-n", namespace, "apply", "-f", "-")
	return namespace
}

// listen listens where Pods can reach it.
func (s *scene) listen() net.Listener {
	s.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), "0"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// server is an HTTPS server whose certificate is for 127.0.0.1.
func (s *scene) server(name string, notAfter time.Time) (address, ca string) {
	s.t.Helper()
	certificate, ca := testkit.Certificate(s.t, name, notAfter)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	require.NoError(s.t, server.Listener.Close())
	server.Listener = s.listen()
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients break the handshake off
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	return "https://" + server.Listener.Addr().String(), ca
}

// name is one that nobody else has.
func (s *scene) name() string {
	s.count++
	return fmt.Sprintf("case-%d", s.count)
}

// kubectl is kubectl in the scene's namespace.
func (s *scene) kubectl(stdin string, args ...string) string {
	s.t.Helper()
	return kubectl(s.t, stdin, append([]string{"-n", s.namespace}, args...)...)
}

// faulty is what is wrong with a Connector; what is not said is right.
type faulty struct{ class, address, secret, ca string }

func connectorManifest(name string, f faulty) string {
	or := func(value, otherwise string) string {
		if value != "" {
			return value
		}
		return otherwise
	}
	manifest := fmt.Sprintf(`
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata: {name: %s}
spec:
  connectorClassName: %s
  address: %s
  auth: {name: bearerTokenAuth, secretRef: {name: %s}}
`, name, or(f.class, "k8s"), or(f.address, clusters.Target.Address), or(f.secret, "good"))
	if f.ca != "" {
		manifest += fmt.Sprintf("  caCertSecretRef: {name: %s}\n", f.ca)
	}
	return manifest
}

// podManifest is a Pod with more lines in its metadata and its spec, if any.
func podManifest(name, annotation string, spec ...string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {%s}}
spec:
  terminationGracePeriodSeconds: 0
  %s
  containers:
  - {name: app, image: %s, imagePullPolicy: Never, command: [sleep, "3600"]}
`, name, annotation, strings.Join(spec, "\n  "), cluster.ToolboxImage)
}

// jobManifest is a Job with an annotation of its template and one of its own, if
// any.
func jobManifest(name, template, own string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, annotations: {%s}}
spec:
  template:
    metadata: {annotations: {%s}}
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: %s, imagePullPolicy: Never, command: [kubectl, get, namespaces]}
`, name, own, template, cluster.ToolboxImage)
}

func uses(name string) string { return v1alpha1.AnnotationConnectors + ": " + name }
