package webhook_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	systemNamespace = "connectors-system"
	serviceAccount  = "system:serviceaccount:" + systemNamespace + ":connector-webhook"
	patience        = 30 * time.Second
	interval        = 50 * time.Millisecond
)

// server is the webhook, running against a real API server.
type server struct {
	api     client.Client
	config  *rest.Config
	address string // of admission
	health  string
	metrics string
}

func start(t *testing.T) *server {
	t.Helper()
	config := apiserver.Start(t)
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	api, err := client.New(config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	s := &server{api: api, config: config, address: freeAddress(t), health: freeAddress(t), metrics: freeAddress(t)}
	require.NoError(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}))
	for _, object := range rights(t) {
		require.NoError(t, api.Create(t.Context(), object))
	}
	require.NoError(t, api.Create(t.Context(), configuration(t)))
	return s
}

// rights are what config/rbac grants the webhook.
func rights(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile("../../config/rbac/webhook_role.yaml")
	require.NoError(t, err)
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		objects = append(objects, object)
	}
	return objects
}

// run runs the webhook until the test ends, with the rights that it has in a
// cluster, and waits until it is ready.
func (s *server) run(t *testing.T, certificateDir string) {
	t.Helper()
	s.begin(t, certificateDir)
	require.Eventually(t, func() bool { return s.ready(t) }, patience, interval, "the webhook does not become ready")
}

func (s *server) begin(t *testing.T, certificateDir string) {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: serviceAccount, Groups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	host, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	mgr, err := webhook.NewManager(ctx, config, webhook.Config{
		Namespace: systemNamespace, Host: host, Port: number, MetricsAddress: s.metrics, HealthAddress: s.health,
		CertificateDir: certificateDir, Inject: inject.Options{Image: "sidecar:test"},
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
}

func (s *server) ready(t *testing.T) bool {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.health+"/readyz", http.NoBody)
	request.RequestURI = "" // a client's request has none
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return assert.NoError(t, response.Body.Close()) && response.StatusCode == http.StatusOK
}

// configuration is the MutatingWebhookConfiguration that is installed.
func configuration(t *testing.T) *admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	content, err := os.ReadFile("../../config/webhook/configuration.yaml")
	require.NoError(t, err)
	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, yaml.UnmarshalStrict(content, &c))
	return &c
}

func (s *server) caBundle(t *testing.T) []byte {
	t.Helper()
	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, s.api.Get(t.Context(), types.NamespacedName{Name: webhook.ConfigurationName}, &c))
	return c.Webhooks[0].ClientConfig.CABundle
}

// review sends an AdmissionReview as the API server does, trusting what it
// trusts.
func (s *server) review(t *testing.T, path, namespace string, pod []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.caBundle(t)))
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, ServerName: "connector-webhook.connectors-system.svc", MinVersion: tls.VersionTLS12,
	}}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u", Namespace: namespace, Operation: admissionv1.Create,
			Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: pod},
		},
	})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.address+path, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Transport: transport}).Do(request)
	require.NoError(t, err)
	defer func() { assert.NoError(t, response.Body.Close()) }()
	var review admissionv1.AdmissionReview
	require.NoError(t, json.NewDecoder(response.Body).Decode(&review))
	require.NotNil(t, review.Response)
	return review.Response
}

func pod(annotation string) []byte {
	return []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","annotations":{"connectors.alauda.io/connectors":` +
		strconv.Quote(annotation) + `}},"spec":{"containers":[{"name":"app","image":"app"}]}}`)
}

func newConnector(name string) *v1alpha1.Connector {
	return &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s", Address: "https://192.168.1.100:6443",
			Auth: &v1alpha1.ConnectorAuth{SecretRef: &corev1.ObjectReference{Name: "k8s-secret"}},
		},
	}
}

func TestWebhook(t *testing.T) {
	s := start(t)
	s.run(t, "")
	t.Run("admission", func(t *testing.T) { testAdmission(t, s) })
	t.Run("csi volumes", func(t *testing.T) { testCSI(t, s) })
	t.Run("what the sidecar cannot serve", func(t *testing.T) { testNotServed(t, s) })
	t.Run("defaults of namespaces", func(t *testing.T) { testDefaults(t, s) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, s) })
	t.Run("nothing else is served", func(t *testing.T) { testSurface(t, s) })
	t.Run("selection", func(t *testing.T) { testSelection(t, s) })
	t.Run("the API server takes what is injected", func(t *testing.T) { testDryRun(t, s) })
	t.Run("trust is kept", func(t *testing.T) { testTrustIsKept(t, s) })
	t.Run("a CA is replaced", func(t *testing.T) { testNewCA(t, s) })
}

func testAdmission(t *testing.T, s *server) {
	t.Helper()
	t.Run("a connector made a moment ago is found", func(t *testing.T) {
		require.NoError(t, s.api.Create(t.Context(), newConnector("fresh")))
		response := s.review(t, webhook.InjectPath, "default", pod("fresh"))
		require.True(t, response.Allowed, "%+v", response.Result)
		assert.Contains(t, string(response.Patch), "connector-proxy")
		assert.Equal(t, admissionv1.PatchTypeJSONPatch, *response.PatchType)
		assert.Contains(t, response.Warnings, "Connector default/fresh has not been checked yet; if that does not pass in a moment, see whether the controller runs")
	})
	t.Run("a connector that is not ready is said to be so", func(t *testing.T) {
		c := newConnector("broken")
		require.NoError(t, s.api.Create(t.Context(), c))
		c.Status.Conditions = []metav1.Condition{{
			Type: string(v1alpha1.ConditionReady), Status: metav1.ConditionFalse, LastTransitionTime: metav1.Now(),
			Reason: string(v1alpha1.ReasonSecretNotFound), Message: "create the Secret",
		}}
		require.NoError(t, s.api.Status().Update(t.Context(), c))
		require.Eventually(t, func() bool {
			response := s.review(t, webhook.InjectPath, "default", pod("broken"))
			return response.Allowed && len(response.Warnings) == 1 &&
				response.Warnings[0] == "Connector default/broken is not ready: SecretNotFound: create the Secret"
		}, patience, interval)
	})
	t.Run("ready, no warning", func(t *testing.T) {
		c := newConnector("good")
		require.NoError(t, s.api.Create(t.Context(), c))
		c.Status.Conditions = []metav1.Condition{{
			Type: string(v1alpha1.ConditionReady), Status: metav1.ConditionTrue, LastTransitionTime: metav1.Now(),
			Reason: string(v1alpha1.ReasonReady),
		}}
		require.NoError(t, s.api.Status().Update(t.Context(), c))
		require.Eventually(t, func() bool {
			response := s.review(t, webhook.InjectPath, "default", pod("good"))
			return response.Allowed && len(response.Warnings) == 0
		}, patience, interval)
	})

	for name, test := range map[string]struct {
		namespace string
		pod       []byte
		code      int32
		message   string
	}{
		"missing connector":        {"default", pod("nowhere"), http.StatusForbidden, "default/nowhere"},
		"another namespace":        {"default", pod("kube-system/fresh"), http.StatusForbidden, "another namespace"},
		"bad annotation":           {"default", pod("a b"), http.StatusForbidden, `"a b"`},
		"something that is no Pod": {"default", []byte(`{"apiVersion":"v1","kind":"Pod","spec":[]}`), http.StatusBadRequest, "reading the Pod"},
	} {
		t.Run(name, func(t *testing.T) {
			response := s.review(t, webhook.InjectPath, test.namespace, test.pod)
			assert.False(t, response.Allowed)
			assert.Empty(t, response.Patch)
			assert.Equal(t, test.code, response.Result.Code)
			assert.Contains(t, response.Result.Message, test.message)
		})
	}

	t.Run("no annotation, no patch", func(t *testing.T) {
		response := s.review(t, webhook.InjectPath, "default", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app"},"spec":{}}`))
		assert.True(t, response.Allowed)
		assert.Empty(t, response.Patch)
	})
}

// testTrustIsKept: whoever empties the caBundle, it is written again; and a CA
// that stands in it stays, because another replica may serve with it.
func testTrustIsKept(t *testing.T, s *server) {
	t.Helper()
	own := s.caBundle(t)
	require.NotEmpty(t, own)
	_, before := testkit.Certificate(t, "before", time.Now().Add(time.Hour))
	_, expired := testkit.Certificate(t, "expired", time.Now().Add(-time.Hour))

	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, s.api.Get(t.Context(), types.NamespacedName{Name: webhook.ConfigurationName}, &c))
	c.Webhooks[0].ClientConfig.CABundle = []byte(expired + before)
	require.NoError(t, s.api.Update(t.Context(), &c))

	want := string(own) + before
	require.Eventually(t, func() bool { return string(s.caBundle(t)) == want }, patience, interval)
	require.Eventually(t, func() bool { return s.ready(t) }, patience, interval)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, listener.Close()) }()
	return listener.Addr().String()
}
