package controller_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// What is wrong with a probe is said in the status of the class, by its field.
func TestClassProbes(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(liveness, auth *v1alpha1.Probe)
		reason  v1alpha1.ConditionReason
		message string
	}{
		"nothing wrong":      {func(_, _ *v1alpha1.Probe) {}, v1alpha1.ReasonReady, classIsReady},
		"the API of a class": {func(liveness, _ *v1alpha1.Probe) { liveness.API = &v1alpha1.APIProbe{Path: "/"} }, v1alpha1.ReasonUnsupported, "spec.livenessProbe.api: "},
		"another host":       {func(_, auth *v1alpha1.Probe) { auth.HTTP.Host = "other.example.com" }, v1alpha1.ReasonUnsupported, "spec.authProbes[0].probe.http.host: "},
		"no TLS":             {func(_, auth *v1alpha1.Probe) { auth.HTTP.Scheme = "http" }, v1alpha1.ReasonUnsupported, "spec.authProbes[0].probe.http.scheme: "},
		"no template":        {func(liveness, _ *v1alpha1.Probe) { liveness.HTTP.Path = "/{{ if }}" }, v1alpha1.ReasonInvalidSpec, "spec.livenessProbe.http.path: is not a Go template"},
		"no template of a header": {func(_, auth *v1alpha1.Probe) {
			auth.HTTP.HTTPHeaders = []v1alpha1.HTTPHeader{{Name: "A"}, {Name: "B", Value: "{{ env \"HOME\" }}"}}
		}, v1alpha1.ReasonInvalidSpec, "spec.authProbes[0].probe.http.httpHeaders[1].value: is not a Go template"},
		"no expression": {func(_, auth *v1alpha1.Probe) { auth.HTTP.Response = &v1alpha1.HTTPResponse{CEL: "response.status =="} }, v1alpha1.ReasonInvalidSpec, "spec.authProbes[0].probe.http.response.cel: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			class := f.newClass(func(s *v1alpha1.ConnectorClassSpec) {
				s.LivenessProbe = &v1alpha1.Probe{HTTP: &v1alpha1.HTTPProbe{Path: "/livez"}}
				s.AuthProbes = []v1alpha1.AuthProbe{{AuthName: "bearerTokenAuth", Probe: s.LivenessProbe.DeepCopy()}}
				tc.change(s.LivenessProbe, s.AuthProbes[0].Probe)
			})
			f.awaitReason(class, tc.reason, tc.message)
		})
	}
}

// Classes as people publish them can be used, but for those that ask for what this
// version cannot do.
func TestPublishedClasses(t *testing.T) {
	paths, err := filepath.Glob("../apis/connectors/v1alpha1/testdata/published/*.yaml")
	require.NoError(t, err)
	unsupported := map[string]string{
		"github": "spec.authProbes[0].probe.http.host: ",
		"gitlab": "spec.authProbes[0].probe.api: ",
	}
	seen := 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			var kind metav1.TypeMeta
			require.NoError(t, yaml.Unmarshal(document, &kind))
			if kind.Kind != "ConnectorClass" {
				continue
			}
			published := &v1alpha1.ConnectorClass{}
			require.NoError(t, yaml.Unmarshal(document, published))
			seen++
			t.Run(published.Name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, patient)
				class := f.newClass(func(s *v1alpha1.ConnectorClassSpec) { *s = published.Spec })
				if message, ok := unsupported[published.Name]; ok {
					f.awaitReason(class, v1alpha1.ReasonUnsupported, message)
					return
				}
				f.awaitReason(class, v1alpha1.ReasonReady, classIsReady)
			})
		}
	}
	require.GreaterOrEqual(t, seen, 11)
}

// awaitReason waits until Ready of a class has a reason, and a message that
// begins so.
func (f *fixture) awaitReason(class *v1alpha1.ConnectorClass, reason v1alpha1.ConditionReason, message string) {
	f.t.Helper()
	require.EventuallyWithT(f.t, func(t *assert.CollectT) {
		require.NoError(t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(class), class))
		found := meta.FindStatusCondition(class.Status.Conditions, string(v1alpha1.ConditionReady))
		require.NotNil(t, found)
		assert.Equal(t, string(reason), found.Reason, found.Message)
		assert.Equal(t, reason == v1alpha1.ReasonReady, found.Status == metav1.ConditionTrue)
		assert.True(t, strings.HasPrefix(found.Message, message), found.Message)
	}, later, tick)
}
