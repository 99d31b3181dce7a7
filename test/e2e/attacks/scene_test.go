package attacks

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

const (
	kubeconfig = "/var/run/connectors.alauda.io/kubeconfig"
	sidecar    = "connector-proxy"
	// theSecret is the one with the token.
	theSecret = "k8s-secret"
	// unrelated is a Secret that no Connector names.
	unrelated = "unrelated"
)

// stage is a namespace with the Connector k8s-connector to the target, with a token
// that may view it.
type stage struct {
	namespace string
	account   string // whose the token is, at the target
	token     string

	// victim is a Pod of the scene's kind, for attacks that disturb nobody.
	victim *corev1.Pod
}

func newStage(t *testing.T) *stage {
	t.Helper()
	namespace, identity := bed.NewNamespace(t), bed.NewIdentity(t, bed.Target, "view")
	s := &stage{
		namespace: namespace, token: identity.Token(t),
		account: "system:serviceaccount:" + identity.Account.Namespace + ":" + identity.Account.Name,
	}
	bed.NewConnector(t, namespace, bed.Clusters.Target.Address, bed.Clusters.Target.CA, s.token)
	bed.Create(t, bed.Home, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: unrelated, Namespace: namespace},
		StringData: map[string]string{"token": "of no Connector"},
	})
	s.victim = start(t, s.pod())
	return s
}

// scene is where an attack takes place, and all that the attacker has seen there.
type scene struct {
	*stage
	seen testkit.Log
}

// sees notes what the attacker has got hold of.
func (s *scene) sees(what ...any) { fmt.Fprintln(&s.seen, what...) }

// check is the end of every attack: whatever the attacker has seen, it was not the
// token, in no usual encoding of it.
func (s *scene) check(t *testing.T) {
	t.Helper()
	seen := s.seen.String()
	for _, pattern := range s.patterns() {
		if strings.Contains(seen, pattern) {
			t.Error("the attacker has the token") // without saying it again
		}
	}
}

// patterns are by what the token is recognized: its signature, alone and in base64,
// wherever in the encoded text it stands.
func (s *stage) patterns() []string {
	signature := strings.Split(s.token, ".")[2]
	patterns := []string{signature}
	for _, before := range []string{"", "x", "xx"} {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(before + signature))
		patterns = append(patterns, encoded[4:len(encoded)-4])
	}
	return patterns
}

// pod is a Pod that asks for the Connector: in "app", root with NET_RAW has its
// kubeconfig, and in "aside" it has not.
func (s *stage) pod() *corev1.Pod {
	pod := bed.Sleeper(s.namespace)
	pod.Annotations[v1alpha1.AnnotationContainers] = "app"
	app := &pod.Spec.Containers[0]
	app.Image = attackerImage
	app.SecurityContext = &corev1.SecurityContext{
		RunAsUser: new(int64), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_RAW"}},
	}
	aside := app.DeepCopy()
	aside.Name = "aside"
	pod.Spec.Containers = append(pod.Spec.Containers, *aside)
	return pod
}

// plain is a Pod that asks for nothing.
func (s *stage) plain() *corev1.Pod {
	pod := s.pod()
	pod.Annotations = nil
	return pod
}

// start creates a Pod and waits until it runs.
func start(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	bed.Create(t, bed.Home, pod)
	return bed.AwaitPod(t, pod, "running", bed.Running)
}

// runs runs a command in a container. Whatever it prints, the attacker has seen.
func (s *scene) runs(t *testing.T, pod *corev1.Pod, container, stdin string, command ...string) (string, error) {
	t.Helper()
	output, err := bed.Execute(t, pod, container, stdin, command...)
	s.sees(output, err)
	return output, err
}

// shell runs a shell's command line, whatever becomes of it.
func (s *scene) shell(t *testing.T, pod *corev1.Pod, container, line string) string {
	t.Helper()
	output, _ := s.runs(t, pod, container, "", "sh", "-c", line+" 2>&1")
	return output
}

// reads is what a container has printed.
func (s *scene) reads(t *testing.T, pod *corev1.Pod, container string) string {
	t.Helper()
	output := bed.Logs(t, pod, container)
	s.sees(output)
	return output
}

// works checks that the Pod goes on as if nothing had happened.
func (s *scene) works(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	output, err := s.runs(t, pod, "app", "", "kubectl", "auth", "whoami")
	require.NoError(t, err, output)
	assert.Contains(t, output, s.account)
}

// ways are those to the sidecar that the program attacker can send on, by name: what
// begins the path of a request, and its headers.
var ways = map[string]struct{ prefix, headers string }{
	"proxy":     {"", "Host: $SERVER\r\nConnection: close\r\n"},
	"localhost": {"$PREFIX", "Host: 127.0.0.1:17444\r\nAuthorization: Bearer $TEMPORARY\r\nConnection: close\r\n"},
}

// connect makes another Connector with the Secret and the CA of the scene's.
func (s *scene) connect(t *testing.T, name, address string) {
	t.Helper()
	c := bed.ConnectorObject(s.namespace, address)
	c.Name = name
	s.create(t, c)
}

// connectTo makes another Connector with the Secret of the scene's, to a server of
// the test's own, and waits until running Pods could know its CA.
func (s *scene) connectTo(t *testing.T, name string, server *bed.Trap) {
	t.Helper()
	ca := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-ca", Namespace: s.namespace},
		StringData: map[string]string{connector.SecretKeyCA: server.CA},
	}
	bed.Create(t, bed.Home, ca)
	c := bed.ConnectorObject(s.namespace, server.Address)
	c.Name, c.Spec.CACertSecretRef.Name = name, ca.Name
	s.create(t, c)
}

// create creates a Connector and waits for its ConfigMap: to Pods that start before it
// is there the kubelet brings it a minute or two later.
func (s *scene) create(t *testing.T, c *v1alpha1.Connector) {
	t.Helper()
	bed.Create(t, bed.Home, c)
	bed.Eventually(t, func() bool {
		key := client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.ConnectionConfigMapName(c.Name)}
		return bed.Home.Get(t.Context(), key, &corev1.ConfigMap{}) == nil
	}, "the ConfigMap of Connector %s is not there", c.Name)
}

// rejected checks that the sidecar answers a request with an error, and not because
// the temporary token was missing.
func rejected(t *testing.T, answer, request string) {
	t.Helper()
	assert.Regexp(t, `^HTTP/1\.1 4\d\d `, answer, request)
	assert.NotRegexp(t, `^HTTP/1\.1 40[17] `, answer, request)
}

// copyOf is what somebody has who copies a Pod as it runs, without what says that it
// is injected.
func (s *stage) copyOf(pod *corev1.Pod) *corev1.Pod {
	copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "copy-", Namespace: s.namespace}, Spec: *pod.Spec.DeepCopy()}
	copied.Spec.NodeName = ""
	return copied
}

// connector is the Connector of the scene.
func (s *stage) connector() *v1alpha1.Connector {
	return &v1alpha1.Connector{ObjectMeta: metav1.ObjectMeta{Name: "k8s-connector", Namespace: s.namespace}}
}

// underPodSecurity checks that a Pod is refused where PodSecurity baseline is enforced.
func (s *scene) underPodSecurity(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	secured := bed.MakeNamespace(t, bed.Home, map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
	same := s.copyOf(pod)
	same.Namespace = secured
	require.ErrorContains(t, bed.Home.Create(t.Context(), same, client.DryRunAll), `violates PodSecurity "baseline`)
}
