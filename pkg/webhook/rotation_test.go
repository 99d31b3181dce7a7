package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

// testNewCA: the CA is lost and made anew, while the webhook cannot write it into
// the caBundles, and then can. All the time the API server itself sends it Pods, and
// others connect to it as the API server would.
func testNewCA(t *testing.T, s *server) {
	t.Helper()
	s.connect(t)
	stop := s.stream(t)
	before, secret := s.leaf(t), s.caSecret(t)
	require.NotNil(t, secret)

	s.grant(t, "get", "list", "watch")
	require.NoError(t, s.api.Delete(t.Context(), secret))
	require.Eventually(t, func() bool {
		now := s.caSecret(t)
		return now != nil && now.UID != secret.UID
	}, patience, interval, "there is no new CA")
	for range 50 {
		response := s.review(t, webhook.InjectPath, "default", pod("steady"))
		require.True(t, response.Allowed, "%+v", response.Result)
		require.True(t, s.ready(t))
	}
	assert.Equal(t, before.AuthorityKeyId, s.leaf(t).AuthorityKeyId, "nobody trusts the new CA yet")
	assert.NotContains(t, string(s.caBundle(t)), string(s.caSecret(t).Data[corev1.TLSCertKey]), "or this shows nothing")

	s.grant(t, "get", "list", "watch", "update")
	require.Eventually(t, func() bool {
		response := s.review(t, webhook.InjectPath, "default", pod("steady"))
		require.True(t, response.Allowed, "%+v", response.Result)
		require.True(t, s.ready(t))
		return string(s.leaf(t).AuthorityKeyId) != string(before.AuthorityKeyId)
	}, patience, interval, "the new CA is not used")
	assert.Contains(t, string(s.caBundle(t)), string(secret.Data[corev1.TLSCertKey]), "another replica may not be so far")
	stop()
}

// TestCertificateDir: the webhook serves with what somebody else puts there, is ready
// when every webhook of the configuration trusts it, and makes no CA of its own.
func TestCertificateDir(t *testing.T) {
	s := start(t)
	ca := testkit.NewAuthority(t)
	dir := filepath.Join(t.TempDir(), "current")
	mount(t, dir, ca)
	s.begin(t, dir)

	require.Eventually(t, func() bool { return s.listens(t) }, patience, interval, "the webhook does not serve")
	first := s.leaf(t)
	for i := range 3 {
		require.False(t, s.ready(t), "only %d of 3 webhooks trust the certificate", i)
		s.trust(t, i, ca.PEM)
	}
	require.Eventually(t, func() bool { return s.ready(t) }, patience, interval, "the webhook does not become ready")
	s.connect(t)

	stop := s.stream(t)
	mount(t, dir, ca)
	require.Eventually(t, func() bool { return !s.leaf(t).Equal(first) }, patience, interval, "the new certificate is not used")
	assert.True(t, s.ready(t))
	response := s.review(t, webhook.InjectPath, "default", pod("steady"))
	assert.True(t, response.Allowed, "%+v", response.Result)
	stop()

	s.trust(t, 1, testkit.NewAuthority(t).PEM)
	require.Eventually(t, func() bool { return !s.ready(t) }, patience, interval, "one webhook does not trust the certificate any more")
	assert.Nil(t, s.caSecret(t))
}

// mount makes dir what the kubelet would make of a Secret with a new certificate, in
// one go.
func mount(t *testing.T, dir string, ca *testkit.Authority) {
	t.Helper()
	certificate, key := ca.Issue(t, "connector-webhook.connectors-system.svc")
	files := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(files, "tls.crt"), certificate, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(files, "tls.key"), key, 0o600))
	require.NoError(t, os.Symlink(files, dir+".new"))
	require.NoError(t, os.Rename(dir+".new", dir))
}

// trust makes one webhook of the configuration trust a CA.
func (s *server) trust(t *testing.T, i int, ca []byte) {
	t.Helper()
	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, s.api.Get(t.Context(), types.NamespacedName{Name: webhook.ConfigurationName}, &c))
	c.Webhooks[i].ClientConfig.CABundle = ca
	require.NoError(t, s.api.Update(t.Context(), &c))
}

// connect makes the API server reach the webhook under the name of its Service.
func (s *server) connect(t *testing.T) {
	t.Helper()
	_, text, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	port, err := strconv.ParseInt(text, 10, 32)
	require.NoError(t, err)
	require.NoError(t, s.api.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: webhook.ServiceName},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}))
	var c admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, s.api.Get(t.Context(), types.NamespacedName{Name: webhook.ConfigurationName}, &c))
	for i := range c.Webhooks {
		c.Webhooks[i].ClientConfig.Service.Port = new(int32(port))
	}
	require.NoError(t, s.api.Update(t.Context(), &c))
	require.NoError(t, s.api.Create(t.Context(), newConnector("steady")))
	require.NoError(t, s.api.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		client.RawPatch(client.Merge.Type(), []byte(`{"metadata":{"labels":{"`+v1alpha1.LabelInjection+`":"enabled"}}}`))))
	require.Eventually(t, func() bool {
		injected, err := s.create(t.Context())
		return err == nil && injected
	}, patience, interval, "the API server does not reach the webhook")
}

// create has the API server admit a Pod that asks.
func (s *server) create(ctx context.Context) (injected bool, err error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", GenerateName: "app-", Annotations: map[string]string{v1alpha1.AnnotationConnectors: "steady"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	err = s.api.Create(ctx, pod, client.DryRunAll)
	return len(pod.Spec.InitContainers) == 1, err
}

// stream has Pods admitted all the time until it is stopped; each must be injected.
func (s *server) stream(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			injected, err := s.create(context.WithoutCancel(ctx))
			asked++
			assert.True(t, err == nil && injected, "refused, or not injected: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
		assert.Greater(t, asked, 20, "or this shows nothing")
	})
	t.Cleanup(stop)
	return stop
}

// leaf is the certificate that the webhook serves with.
func (s *server) leaf(t *testing.T) *x509.Certificate {
	t.Helper()
	connection, err := s.dial(t)
	require.NoError(t, err)
	defer func() { assert.NoError(t, connection.Close()) }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func (s *server) listens(t *testing.T) bool {
	t.Helper()
	connection, err := s.dial(t)
	if err != nil {
		return false
	}
	return assert.NoError(t, connection.Close())
}

func (s *server) dial(t *testing.T) (net.Conn, error) {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	return dialer.DialContext(t.Context(), "tcp", s.address)
}

// caSecret is the Secret with the CA, or nil.
func (s *server) caSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	err := s.api.Get(t.Context(), types.NamespacedName{Namespace: systemNamespace, Name: webhook.CASecretName}, &secret)
	if err != nil {
		require.NoError(t, client.IgnoreNotFound(err))
		return nil
	}
	return &secret
}

// grant lets the webhook do these things with its configuration, and nothing else.
func (s *server) grant(t *testing.T, verbs ...string) {
	t.Helper()
	var role rbacv1.ClusterRole
	require.NoError(t, s.api.Get(t.Context(), types.NamespacedName{Name: "connector-webhook"}, &role))
	for i, rule := range role.Rules {
		if rule.Resources[0] == "mutatingwebhookconfigurations" {
			role.Rules[i].Verbs = verbs
		}
	}
	require.NoError(t, s.api.Update(t.Context(), &role))
	want := verbs[len(verbs)-1] == "update"
	require.Eventually(t, func() bool {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: serviceAccount, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: "update", Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations", Name: webhook.ConfigurationName,
			},
		}}
		require.NoError(t, s.api.Create(t.Context(), review))
		return review.Status.Allowed == want
	}, patience, interval)
}
