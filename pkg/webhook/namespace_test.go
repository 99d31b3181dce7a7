package webhook_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
	"github.com/kube-connector/kube-connector/pkg/webhook"
)

const plainPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app"},"spec":{"containers":[{"name":"app","image":"app"}]}}`

func injectPod(value string) []byte {
	return []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","annotations":{"connectors.alauda.io/inject":"` + value +
		`"}},"spec":{"containers":[{"name":"app","image":"app"}]}}`)
}

// testDefaults: a namespace made a moment ago, and one changed a moment ago, has
// the defaults that it says.
func testDefaults(t *testing.T, s *server) {
	t.Helper()
	for label, path := range map[string]string{
		v1alpha1.InjectionEnabled: webhook.InjectPath, v1alpha1.InjectionAlways: webhook.InjectAlwaysPath,
	} {
		t.Run(label, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: "defaults-" + label, Labels: map[string]string{v1alpha1.LabelInjection: label},
			}}
			require.NoError(t, s.api.Create(t.Context(), namespace))
			for _, name := range []string{"first", "second"} {
				c := newConnector(name)
				c.Namespace = namespace.Name
				require.NoError(t, s.api.Create(t.Context(), c))
			}
			asked := s.review(t, path, namespace.Name, injectPod("true"))
			assert.False(t, asked.Allowed)
			assert.Contains(t, asked.Result.Message, `"true", but neither the Pod nor namespace `+namespace.Name+` has the annotation`)

			namespace.Annotations = map[string]string{v1alpha1.AnnotationConnectors: "first, second"}
			require.NoError(t, s.api.Update(t.Context(), namespace))
			asked = s.review(t, path, namespace.Name, injectPod("true"))
			require.True(t, asked.Allowed, "%+v", asked.Result)
			assert.Contains(t, string(asked.Patch), "--connector="+namespace.Name+"/first=")
			assert.Contains(t, string(asked.Patch), "--connector="+namespace.Name+"/second=")

			plain := s.review(t, path, namespace.Name, []byte(plainPod))
			require.True(t, plain.Allowed)
			assert.Equal(t, label == v1alpha1.InjectionAlways, len(plain.Patch) > 0)
			own := s.review(t, path, namespace.Name, pod("second"))
			assert.NotContains(t, string(own.Patch), "/first=", "the Pod's own annotation wins")
			assert.Contains(t, string(own.Patch), "/second=")
			assert.Empty(t, s.review(t, path, namespace.Name, injectPod("false")).Patch)

			namespace.Annotations[v1alpha1.AnnotationConnectors] = "nowhere"
			require.NoError(t, s.api.Update(t.Context(), namespace))
			require.Eventually(t, func() bool {
				missing := s.review(t, path, namespace.Name, injectPod("true"))
				return !missing.Allowed && missing.Result.Message == "connectors.alauda.io: the Connector "+namespace.Name+
					"/nowhere, which annotation connectors.alauda.io/connectors of namespace "+namespace.Name+" names, does not exist; create it or correct the name"
			}, patience, interval)
		})
	}
}

// reader is an API server, or a cache of it, that counts what it is asked.
type reader struct {
	client.Reader
	objects map[string]client.Object // by kind and name
	err     error
	asked   []string
}

func (r *reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := "Connector "
	switch into.(type) {
	case *corev1.Namespace:
		kind = "Namespace "
	case *v1alpha1.ConnectorClass:
		kind = "ConnectorClass "
	}
	r.asked = append(r.asked, kind+key.Name)
	if r.err != nil {
		return r.err
	}
	switch object := r.objects[kind+key.Name].(type) {
	case *corev1.Namespace:
		object.DeepCopyInto(into.(*corev1.Namespace))
	case *v1alpha1.Connector:
		object.DeepCopyInto(into.(*v1alpha1.Connector))
	default:
		return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, key.Name)
	}
	return nil
}

// TestLookUps: what is in the cache is not asked for live, what is not is asked
// for once, and what does not matter not at all.
func TestLookUps(t *testing.T) {
	const enabled, always = v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways
	team := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Annotations: map[string]string{v1alpha1.AnnotationConnectors: "a"}}}
	bare := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	a := newConnector("a")
	a.Status.Conditions = []metav1.Condition{{Type: string(v1alpha1.ConditionReady), Status: metav1.ConditionTrue}}
	unchecked := newConnector("a")
	all := map[string]client.Object{"Namespace default": team, "Connector a": a}
	for name, test := range map[string]struct {
		injection    string
		pod          []byte
		cache, live  map[string]client.Object
		asked, alive []string
		patched      bool
		code         int32
	}{
		"own, cached": {enabled, pod("a"), all, nil, []string{"Connector a"}, nil, true, 200},
		"own, not checked yet": {
			enabled, pod("a"), map[string]client.Object{"Connector a": unchecked}, nil, []string{"Connector a", "ConnectorClass k8s"}, nil, true, 200,
		},
		"own, new":                    {enabled, pod("a"), nil, all, []string{"Connector a"}, []string{"Connector a"}, true, 200},
		"own, nowhere":                {enabled, pod("a"), nil, nil, []string{"Connector a"}, []string{"Connector a"}, false, 403},
		"own, always":                 {always, pod("a"), all, nil, []string{"Connector a"}, nil, true, 200},
		"defaults, cached":            {always, []byte(plainPod), all, nil, []string{"Namespace default", "Connector a"}, nil, true, 200},
		"defaults, asked for, cached": {enabled, injectPod("true"), all, nil, []string{"Namespace default", "Connector a"}, nil, true, 200},
		"defaults, namespace new": {
			always, []byte(plainPod), map[string]client.Object{"Connector a": a}, all,
			[]string{"Namespace default", "Connector a"}, []string{"Namespace default"}, true, 200,
		},
		"defaults, new": {
			always, []byte(plainPod), map[string]client.Object{"Namespace default": bare}, all,
			[]string{"Namespace default", "Connector a"}, []string{"Namespace default", "Connector a"}, true, 200,
		},
		"no defaults": {
			always, []byte(plainPod), map[string]client.Object{"Namespace default": bare}, map[string]client.Object{"Namespace default": bare},
			[]string{"Namespace default"}, []string{"Namespace default"}, false, 200,
		},
		"not asked": {enabled, []byte(plainPod), all, all, nil, nil, false, 200},
		"csi only":  {"", podWithCSI("x", "a"), all, nil, []string{"Connector a"}, nil, true, 200},
		"opted out": {always, injectPod("false"), all, all, nil, nil, false, 200},
	} {
		t.Run(name, func(t *testing.T) {
			cache, live := &reader{objects: test.cache}, &reader{objects: test.live}
			response := admit(t, &webhook.Injector{Cache: cache, Live: live, Injection: test.injection}, test.pod)
			assert.Equal(t, test.asked, cache.asked)
			assert.Equal(t, test.alive, live.asked)
			assert.Equal(t, test.patched, len(response.Patch) > 0)
			assert.Equal(t, test.code, response.Result.Code)
		})
	}
	t.Run("the API server does not answer", func(t *testing.T) {
		live := &reader{err: context.DeadlineExceeded}
		for want, pod := range map[string][]byte{
			"looking up namespace default: context deadline exceeded":   []byte(plainPod),
			"looking up Connector default/a: context deadline exceeded": pod("a"),
		} {
			response := admit(t, &webhook.Injector{Cache: &reader{}, Live: live, Injection: always}, pod)
			assert.False(t, response.Allowed)
			assert.EqualValues(t, http.StatusInternalServerError, response.Result.Code)
			assert.Equal(t, want, response.Result.Message)
		}
	})
}

// admit asks an Injector about a Pod of namespace default.
func admit(t *testing.T, i *webhook.Injector, pod []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	var err error
	i.Metrics, err = webhook.NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	i.Options = inject.Options{Image: "sidecar:test"}
	answer := post(t, i, "application/json", strings.Replace(reviewOf("v1", string(pod)), "team-a", "default", 1))
	require.Equal(t, http.StatusOK, answer.Code, answer.Body)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &review))
	return review.Response
}
