package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// extensions are address extensions, by their names and values in turn.
func extensions(pairs ...string) func(*v1alpha1.Connector) {
	return func(c *v1alpha1.Connector) {
		for pair := range slices.Chunk(pairs, 2) {
			c.Spec.AddressExtensions = append(c.Spec.AddressExtensions, v1alpha1.AddressExtension{Name: pair[0], Value: pair[1]})
		}
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
			c.Spec.AddressExtensions = []v1alpha1.AddressExtension{{Name: "a", Value: "http://b"}, {Name: "c", Value: "https://[::1]:1/d?e#f"}}
		}},
		"the longest list of address extensions": {change: func(c *v1alpha1.Connector) {
			for i := range 16 {
				c.Spec.AddressExtensions = append(c.Spec.AddressExtensions, v1alpha1.AddressExtension{
					Name: strings.Repeat("n", 252) + string(rune('a'+i)), Value: "https://" + strings.Repeat("a", 1016),
				})
			}
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
			want:   `Duplicate value: {"name":"a"}`,
		},
		"a parameter of the authentication twice": {
			change: func(c *v1alpha1.Connector) { c.Spec.Auth.Params = []v1alpha1.Param{{Name: "a"}, {Name: "a"}} },
			field:  "spec.auth.params[1]",
			want:   `Duplicate value: {"name":"a"}`,
		},
		"a parameter too long": {
			change: func(c *v1alpha1.Connector) {
				c.Spec.Params = []v1alpha1.Param{{Name: "a", Value: strings.Repeat("a", 4097)}}
			},
			field: "spec.params[0].value",
			want:  "may not be more than 4096 bytes",
		},
		"an address extension twice": {
			change: extensions("a", "http://b", "a", "http://c"),
			field:  "spec.addressExtensions[1]",
			want:   `Duplicate value: {"name":"a"}`,
		},
		"an address extension without a name": {
			change: extensions("", "http://b"),
			field:  "spec.addressExtensions[0].name",
			want:   "should be at least 1 chars long",
		},
		"an address extension without a value": {
			change: extensions("a", ""),
			field:  "spec.addressExtensions[0].value",
			want:   "should be at least 1 chars long",
		},
		"an address extension that is no URL": {
			change: extensions("a", "api.example.com"),
			field:  "spec.addressExtensions[0].value",
			want:   "must be an http or https URL, as in https://api.example.com",
		},
		"an address extension of another scheme": {
			change: extensions("a", "ftp://b"),
			field:  "spec.addressExtensions[0].value",
			want:   "must be an http or https URL, as in https://api.example.com",
		},
		"an address extension without a host": {
			change: extensions("a", "https:///b"),
			field:  "spec.addressExtensions[0].value",
			want:   "must be an http or https URL, as in https://api.example.com",
		},
		"an address extension with user info": {
			change: extensions("a", "https://user:secret@b"),
			field:  "spec.addressExtensions[0].value",
			want:   "must not carry user info; credentials belong into the Secret",
		},
		"an address extension that is the address": {
			change: extensions("a", "http://b", "c", "https://192.168.1.100:6443"),
			field:  "spec.addressExtensions",
			want:   "must be other addresses than spec.address",
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

func TestUnknownFieldsAreRefused(t *testing.T) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(valid())
	require.NoError(t, err)
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	require.NoError(t, unstructured.SetNestedField(object.Object, "x", "spec", "nonsense"))
	err = api.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	require.ErrorContains(t, err, `unknown field "spec.nonsense"`)
}
