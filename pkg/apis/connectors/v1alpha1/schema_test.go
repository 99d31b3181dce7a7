package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// valid is a Connector that passes; a test breaks one thing of it.
func valid() *v1alpha1.Connector {
	return &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Name: "k8s", Namespace: "default"},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s",
			Address:            "https://192.168.1.100:6443",
			Auth: &v1alpha1.ConnectorAuth{
				Name:      "bearerTokenAuth",
				SecretRef: &corev1.ObjectReference{Name: "k8s-secret"},
			},
		},
	}
}

func TestConnectorSchema(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.Connector)
		field  string
		want   string
	}{
		"valid":             {change: func(*v1alpha1.Connector) {}},
		"without auth":      {change: func(c *v1alpha1.Connector) { c.Spec.Auth = nil }},
		"auth without name": {change: func(c *v1alpha1.Connector) { c.Spec.Auth.Name = "" }},
		"longest name":      {change: func(c *v1alpha1.Connector) { c.Name = strings.Repeat("a", 63) }},
		"a CA":              {change: func(c *v1alpha1.Connector) { c.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "ca"} }},
		"params":            {change: func(c *v1alpha1.Connector) { c.Spec.Params = []v1alpha1.Param{{Name: "a"}, {Name: "b", Value: "c"}} }},
		"address extensions": {change: func(c *v1alpha1.Connector) {
			c.Spec.AddressExtensions = []v1alpha1.AddressExtension{{Name: "a", Value: "http://b"}}
		}},

		"name too long": {
			change: func(c *v1alpha1.Connector) { c.Name = strings.Repeat("a", 64) },
			want:   "the name must have at most 63 characters, because it stands in labels of the Pods that use the Connector",
		},
		"no class": {
			change: func(c *v1alpha1.Connector) { c.Spec.ConnectorClassName = "" },
			field:  "spec.connectorClassName",
			want:   "should be at least 1 chars long",
		},
		"no address": {
			change: func(c *v1alpha1.Connector) { c.Spec.Address = "" },
			field:  "spec.address",
			want:   "should be at least 1 chars long",
		},
		"a parameter without a name": {
			change: func(c *v1alpha1.Connector) { c.Spec.Params = []v1alpha1.Param{{}} },
			field:  "spec.params[0].name",
			want:   "should be at least 1 chars long",
		},
		"a parameter twice": {
			change: func(c *v1alpha1.Connector) { c.Spec.Params = []v1alpha1.Param{{Name: "a"}, {Name: "a"}} },
			field:  "spec.params[1]",
			want:   "Duplicate value",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tc.change(c)
			err := api.Create(t.Context(), c, client.DryRunAll)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, tc.field)
		})
	}
}

// Manifests of the published API apply with kubectl's strict validation, fields
// included that this implementation makes no use of.
func TestPublishedManifestsApply(t *testing.T) {
	for _, manifest := range []string{`
apiVersion: connectors.alauda.io/v1alpha1
kind: ConnectorClass
metadata: {name: k8s}
spec:
  address: {type: string}
  auth:
    types:
    - {name: bearerTokenAuth, secretType: connectors.cpaas.io/bearer-token, optional: true}
`, `
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata:
  name: k8s-connector
  namespace: default
  annotations: {cpaas.io/description: a cluster}
spec:
  connectorClassName: k8s
  address: https://192.168.1.100:6443
  addressExtensions: [{name: other, value: "https://192.168.1.101:6443"}]
  auth:
    name: bearerTokenAuth
    secretRef: {apiVersion: v1, kind: Secret, name: k8s-secret, namespace: default, uid: "", resourceVersion: "", fieldPath: ""}
    params: []
  params: []
  caCertSecretRef: {name: k8s-ca}
`} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(manifest), &object.Object))
		require.NoError(t, api.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)))
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(valid())
	require.NoError(t, err)
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	require.NoError(t, unstructured.SetNestedField(object.Object, "x", "spec", "nonsense"))
	err = api.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	require.ErrorContains(t, err, `unknown field "spec.nonsense"`)
}

func TestClassSchema(t *testing.T) {
	class := func(types ...v1alpha1.AuthType) *v1alpha1.ConnectorClass {
		return &v1alpha1.ConnectorClass{
			ObjectMeta: metav1.ObjectMeta{Name: "other"},
			Spec:       v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: types}},
		}
	}
	require.NoError(t, api.Create(t.Context(), class(), client.DryRunAll))
	require.NoError(t, api.Create(t.Context(), class(v1alpha1.AuthType{Name: "a", SecretType: "b"}), client.DryRunAll))
	require.ErrorContains(t, api.Create(t.Context(), class(v1alpha1.AuthType{Name: "a"}), client.DryRunAll), "spec.auth.types[0].secretType")
	require.ErrorContains(t, api.Create(t.Context(), class(v1alpha1.AuthType{SecretType: "b"}), client.DryRunAll), "spec.auth.types[0].name")
	twice := v1alpha1.AuthType{Name: "a", SecretType: "b"}
	require.ErrorContains(t, api.Create(t.Context(), class(twice, twice), client.DryRunAll), "Duplicate value")
}
