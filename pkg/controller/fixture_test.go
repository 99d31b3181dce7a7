package controller_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// soon is within what a change in this cluster must show in the status.
	soon = 2 * time.Second
	// later is when something takes timeouts of a probe.
	later = 20 * time.Second
	// tick is how often a test looks.
	tick = 20 * time.Millisecond
)

// fixture is a namespace with a Connector that would be Ready if all objects
// were created as they are here. Tests change them before or after.
type fixture struct {
	t *testing.T
	*site
	namespace string
	connector *v1alpha1.Connector
	secret    *corev1.Secret

	mu     sync.Mutex
	tokens []string
}

// newFixture makes a namespace. The Connector's target is eager's API server, and
// the token in the Secret is good.
func newFixture(t *testing.T, s *site) *fixture {
	t.Helper()
	f := &fixture{t: t, site: s}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	require.NoError(t, s.admin.Create(t.Context(), namespace))
	f.namespace = namespace.Name
	f.connector = &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "k8s-connector"},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s",
			Address:            strings.TrimSuffix(eager.config.Host, "/"),
			Auth: &v1alpha1.ConnectorAuth{
				Name:      "bearerTokenAuth",
				SecretRef: &corev1.ObjectReference{Name: "k8s-secret"},
			},
		},
	}
	f.secret = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "k8s-secret"},
		Type:       connector.SecretTypeBearerToken,
		Data: map[string][]byte{
			connector.SecretKeyToken: []byte(f.goodToken()),
			connector.SecretKeyCA:    eager.config.CAData,
		},
	}
	t.Cleanup(func() {
		// Nobody deletes what is in a namespace here, and what stays is probed for
		// as long as the tests run. The context of the test has ended.
		require.NoError(t, s.admin.DeleteAllOf(context.Background(), &v1alpha1.Connector{}, client.InNamespace(f.namespace)))
		require.Empty(t, s.invariants.violations(f.namespace))
	})
	return f
}

// goodToken is a token that eager's API server accepts.
func (f *fixture) goodToken() string {
	f.t.Helper()
	ctx := f.t.Context()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "user-"}}
	require.NoError(f.t, eager.admin.Create(ctx, account))
	request := &authenticationv1.TokenRequest{}
	require.NoError(f.t, eager.admin.SubResource("token").Create(ctx, account, request))
	return f.secretive(request.Status.Token)
}

// secretive remembers a token as one that must not be seen anywhere.
func (f *fixture) secretive(token string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = append(f.tokens, token)
	return token
}

func (f *fixture) create(objects ...client.Object) {
	f.t.Helper()
	for _, object := range objects {
		require.NoError(f.t, f.admin.Create(f.t.Context(), object))
	}
}

func (f *fixture) update(object client.Object, change func()) {
	f.t.Helper()
	require.NoError(f.t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(object), object))
	change()
	require.NoError(f.t, f.admin.Update(f.t.Context(), object))
}

func (f *fixture) remove(objects ...client.Object) {
	f.t.Helper()
	for _, object := range objects {
		require.NoError(f.t, f.admin.Delete(f.t.Context(), object))
	}
}

// pointAt makes the Connector point at a server of the test, whose CA is put
// beside the token.
func (f *fixture) pointAt(server *httptest.Server) {
	f.connector.Spec.Address = server.URL
	f.secret.Data[connector.SecretKeyCA] = caOf(server)
}

// want is what a condition must be. An empty message is any.
type want struct {
	condition v1alpha1.ConditionType
	status    metav1.ConditionStatus
	reason    v1alpha1.ConditionReason
	message   string
}

func isTrue(c v1alpha1.ConditionType, r v1alpha1.ConditionReason) want {
	return want{c, metav1.ConditionTrue, r, ""}
}

func isFalse(c v1alpha1.ConditionType, r v1alpha1.ConditionReason, message string) want {
	return want{c, metav1.ConditionFalse, r, message}
}

func isUnknown(c v1alpha1.ConditionType, message string) want {
	return want{c, metav1.ConditionUnknown, v1alpha1.ReasonProbing, message}
}

var ready = isTrue(v1alpha1.ConditionReady, v1alpha1.ReasonReady)

// await waits until the status says what is wanted about the present spec.
func (f *fixture) await(within time.Duration, wants ...want) {
	f.t.Helper()
	f.invariantsHold()
	require.EventuallyWithT(f.t, func(t *assert.CollectT) {
		c := f.read(t)
		assert.Equal(t, c.Generation, c.Status.ObservedGeneration)
		for _, w := range wants {
			found := meta.FindStatusCondition(c.Status.Conditions, string(w.condition))
			if !assert.NotNil(t, found, w.condition) {
				continue
			}
			assert.Equal(t, w.status, found.Status, "%s: %s", w.condition, found.Message)
			assert.Equal(t, string(w.reason), found.Reason, w.condition)
			assert.Contains(t, found.Message, strings.ReplaceAll(w.message, "NAMESPACE", f.namespace), w.condition)
		}
	}, within, tick)
	f.invariantsHold()
}

func (f *fixture) read(t require.TestingT) *v1alpha1.Connector {
	var c v1alpha1.Connector
	require.NoError(t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(f.connector), &c))
	return &c
}

func (f *fixture) configMap(t require.TestingT) *corev1.ConfigMap {
	var configMap corev1.ConfigMap
	key := client.ObjectKey{Namespace: f.namespace, Name: v1alpha1.ConnectionConfigMapName(f.connector.Name)}
	require.NoError(t, f.admin.Get(f.t.Context(), key, &configMap))
	return &configMap
}

// invariantsHold checks what must be so at any time, whatever the test does.
func (f *fixture) invariantsHold() {
	f.t.Helper()
	ctx, t := f.t.Context(), f.t
	require.Empty(t, f.invariants.violations(f.namespace))
	var connectors v1alpha1.ConnectorList
	require.NoError(t, f.admin.List(ctx, &connectors, client.InNamespace(f.namespace)))
	for _, c := range connectors.Items {
		if len(c.Status.Conditions) > 0 {
			require.Empty(t, inconsistencies(&c, false))
		}
	}
	var configMaps corev1.ConfigMapList
	require.NoError(t, f.admin.List(ctx, &configMaps, client.InNamespace(f.namespace)))
	var events eventsv1.EventList
	require.NoError(t, f.admin.List(ctx, &events, client.InNamespace(f.namespace)))
	seen, err := json.Marshal([]any{connectors.Items, configMaps.Items, events.Items})
	require.NoError(t, err)
	measured, err := metricsText()
	require.NoError(t, err)
	texts := map[string]string{
		"the objects": string(seen), "the log": logs.String(), "the metrics": measured, "what was sent": f.invariants.sent.String(),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, token := range f.tokens {
		require.Empty(t, leaksOf(token, texts), "a token is there")
	}
}

// target is a server of the test that stands for an API server.
func target(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what some tests are about
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// healthy answers as an API server that accepts every token.
func healthy(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"jane"}}}`)
	}
}

// answers answers every call with a token with a status.
func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(status)
		}
	}
}

// hanging answers nothing for as long as the client waits.
func hanging(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func caOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
