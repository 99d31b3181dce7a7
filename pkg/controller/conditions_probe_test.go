package controller_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// probingClass makes a class with probes for the fixture's Connector; nil is none.
func (f *fixture) probingClass(liveness, auth *v1alpha1.HTTPProbe) {
	f.t.Helper()
	class := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace + "-probing"},
		Spec: v1alpha1.ConnectorClassSpec{
			Auth: &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{{Name: "bearerTokenAuth", SecretType: connector.SecretTypeBearerToken}}},
		},
	}
	if liveness != nil {
		class.Spec.LivenessProbe = &v1alpha1.Probe{HTTP: liveness}
	}
	if auth != nil {
		class.Spec.AuthProbes = []v1alpha1.AuthProbe{{AuthName: "bearerTokenAuth", Probe: &v1alpha1.Probe{HTTP: auth}}}
	}
	f.create(class)
	f.connector.Spec.ConnectorClassName = class.Name
}

// Each case is about what a class says of its probes, or about the address.
func TestProbeConditions(t *testing.T) {
	withToken := []v1alpha1.HTTPHeader{{Name: "Authorization", Value: "Bearer {{ .Secret.StringData.token }}"}}
	for name, tc := range map[string]struct {
		change func(*fixture)
		wants  []want
	}{
		"metadata service": {
			func(f *fixture) { f.connector.Spec.Address = "https://169.254.169.254" },
			[]want{
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAddressForbidden,
					"https://169.254.169.254 is link-local or a cloud's metadata service, which is never asked; correct spec.address"),
				isUnknown(v1alpha1.ConditionAuthReady, "waits for the cluster to answer"),
			},
		},
		"metadata service over IPv6": {
			func(f *fixture) { f.connector.Spec.Address = "https://[64:ff9b::a9fe:a9fe]:6443/latest" },
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonAddressForbidden, "is never asked")},
		},
		"no probes": {
			func(f *fixture) { f.probingClass(nil, nil) },
			[]want{
				ready,
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonNonLivenessProbe),
				isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonNonAuthProbe),
			},
		},
		"no liveness probe": {
			func(f *fixture) {
				f.pointAt(target(f.t, healthy))
				f.probingClass(nil, &v1alpha1.HTTPProbe{Path: "/", HTTPHeaders: withToken})
			},
			[]want{
				ready,
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonNonLivenessProbe),
				isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeSucceeded),
			},
		},
		"no liveness probe, but not alive": {
			func(f *fixture) {
				server := target(f.t, healthy)
				f.pointAt(server)
				server.Close()
				f.probingClass(nil, &v1alpha1.HTTPProbe{Path: "/", HTTPHeaders: withToken})
			},
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonConnectionFailed, "connection refused")},
		},
		"no auth probe": {
			func(f *fixture) {
				f.pointAt(target(f.t, healthy))
				f.probingClass(&v1alpha1.HTTPProbe{Path: "/"}, nil)
			},
			[]want{
				ready,
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeSucceeded),
				isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonNonAuthProbe),
			},
		},
		"liveness not as expected": {
			func(f *fixture) {
				f.pointAt(target(f.t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
				f.probingClass(&v1alpha1.HTTPProbe{Path: "/"}, nil)
			},
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeFailed, "answers otherwise than the class expects (404 Not Found)")},
		},
		"redirect": {
			func(f *fixture) {
				f.pointAt(target(f.t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }))
				f.probingClass(&v1alpha1.HTTPProbe{Path: "/"}, nil)
			},
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeFailed, "redirects elsewhere (302 Found), which is not followed")},
		},
		"liveness template": {
			func(f *fixture) {
				f.probingClass(&v1alpha1.HTTPProbe{Path: "/{{ .Secret.StringData.token }}"}, nil)
			},
			[]want{isFalse(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeFailed,
				`ConnectorClass "NAMESPACE-probing": spec.livenessProbe.http.path cannot be rendered`)},
		},
		"auth template": {
			func(f *fixture) {
				f.pointAt(target(f.t, healthy))
				f.probingClass(&v1alpha1.HTTPProbe{Path: "/"}, &v1alpha1.HTTPProbe{Path: "/{{ .Secret.StringData.username }}"})
			},
			[]want{
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonProbeSucceeded),
				isFalse(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeFailed,
					`ConnectorClass "NAMESPACE-probing": spec.authProbes[0].probe.http.path cannot be rendered: ".Secret.StringData.username": there is no such key`),
			},
		},
		"auth template only": {
			func(f *fixture) { f.probingClass(nil, &v1alpha1.HTTPProbe{Path: `{{"a"}}`}) },
			[]want{
				isTrue(v1alpha1.ConditionLivenessReady, v1alpha1.ReasonNonLivenessProbe),
				isFalse(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeFailed, "the path does not begin with a slash"),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			tc.change(f)
			f.create(f.secret, f.connector)
			f.await(later, tc.wants...)
		})
	}
}

// A target that sends the token back does not bring it into the status.
func TestEchoedTokenDoesNotShow(t *testing.T) {
	var asked atomic.Int64
	f := newFixture(t, patient)
	f.pointAt(target(t, func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":%q}}}`, authorization)
		}
		if r.URL.Path == "/version" {
			asked.Add(1)
			fmt.Fprintf(w, `{"gitVersion":%q}`, authorization)
		}
	}))
	f.create(f.secret, f.connector)
	f.await(later, ready) // which looks for tokens
	require.Positive(t, asked.Load())
}
