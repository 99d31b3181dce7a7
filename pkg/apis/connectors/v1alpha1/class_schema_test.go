package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// validClass is a ConnectorClass with one of everything; a test breaks one thing
// of it.
func validClass() *v1alpha1.ConnectorClass {
	value := apiextensionsv1.JSON{Raw: []byte(`"a"`)}
	param := []v1alpha1.ParamSpec{{
		Name: "param", ParamConstraints: v1alpha1.ParamConstraints{Type: v1alpha1.ParamTypeString, Default: &value, Enum: []string{"a", "b"}},
	}}
	http := &v1alpha1.HTTPProbe{
		Path: "/livez", Method: "GET", Scheme: "https",
		HTTPHeaders: []v1alpha1.HTTPHeader{{Name: "Authorization", Value: "Bearer {{ .Secret.StringData.token }}"}},
		Response:    &v1alpha1.HTTPResponse{CEL: "response.statusCode == 200"},
	}
	return &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: "valid"},
		Spec: v1alpha1.ConnectorClassSpec{
			Address:           &v1alpha1.AddressSpec{ParamConstraints: v1alpha1.ParamConstraints{Type: v1alpha1.ParamTypeString}},
			AddressExtensions: param,
			Params:            param,
			Auth:              &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{{Name: "auth", SecretType: "Opaque", Params: param}}},
			LivenessProbe:     &v1alpha1.Probe{HTTP: http},
			AuthProbes:        []v1alpha1.AuthProbe{{AuthName: "auth", Params: param, Probe: &v1alpha1.Probe{HTTP: http}}},
			Configurations:    []v1alpha1.Configuration{{Name: "config", Params: param, Data: map[string]string{".config": "{{ .connector.spec.address }}"}}},
		},
	}
}

func TestClassSchema(t *testing.T) {
	const (
		empty   = "should be at least 1 chars long"
		badPath = "must begin with / or with a template, as in /livez or {{ .Connector.Spec.Address }}"
		badName = "must be the name of a header, of letters, digits and -, as in Authorization"
		badFile = "names of files have at most 253 letters, digits and . _ -, and do not begin with .."
		noAuth  = "authName must be the name of one of spec.auth.types"
		tooMuch = "the data of all configurations together must not have more than 262144 characters, because a class must fit into etcd"
	)
	twice := []v1alpha1.ParamSpec{{Name: "a"}, {Name: "a"}}
	for name, tc := range map[string]struct {
		change      func(*v1alpha1.ConnectorClassSpec)
		field, want string
	}{
		"valid":                    {change: func(*v1alpha1.ConnectorClassSpec) {}},
		"nothing":                  {change: func(s *v1alpha1.ConnectorClassSpec) { *s = v1alpha1.ConnectorClassSpec{} }},
		"no auth types":            {change: func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types, s.AuthProbes = nil, nil }},
		"any Secret":               {change: func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].SecretType = "" }},
		"longest type of a Secret": {change: func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].SecretType = strings.Repeat("a", 253) }},
		"path of a template":       {change: func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.Path = "{{ .Connector.Spec.Address }}" }},
		"every character of a header's name": {change: func(s *v1alpha1.ConnectorClassSpec) {
			s.LivenessProbe.HTTP.HTTPHeaders[0].Name = "!#$%&'*+-.^_`|~09AZaz"
		}},
		"no default": {change: func(s *v1alpha1.ConnectorClassSpec) { s.Params[0].Default = nil }},
		"empty enum": {change: func(s *v1alpha1.ConnectorClassSpec) { s.Params[0].Enum = nil }},
		"types that are not supported": {change: func(s *v1alpha1.ConnectorClassSpec) {
			s.Params = []v1alpha1.ParamSpec{
				{Name: "a", ParamConstraints: v1alpha1.ParamConstraints{Type: "array"}},
				{Name: "o", ParamConstraints: v1alpha1.ParamConstraints{Type: "object", Properties: map[string]v1alpha1.PropertySpec{"k": {Type: "string"}}}},
			}
		}},
		"file names":                 {change: files("a", ".b", "c.d-e_F9", "a..b", strings.Repeat("a", 253))},
		"most data":                  {change: data(16, 262144/16)},
		"largest lists, longest all": {change: largest},

		"extension twice":      {func(s *v1alpha1.ConnectorClassSpec) { s.AddressExtensions = twice }, "spec.addressExtensions[1]", `Duplicate value: {"name":"a"}`},
		"param twice":          {func(s *v1alpha1.ConnectorClassSpec) { s.Params = twice }, "spec.params[1]", `Duplicate value: {"name":"a"}`},
		"auth param twice":     {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].Params = twice }, "spec.auth.types[0].params[1]", `Duplicate value: {"name":"a"}`},
		"probe param twice":    {func(s *v1alpha1.ConnectorClassSpec) { s.AuthProbes[0].Params = twice }, "spec.authProbes[0].params[1]", `Duplicate value: {"name":"a"}`},
		"file param twice":     {func(s *v1alpha1.ConnectorClassSpec) { s.Configurations[0].Params = twice }, "spec.configurations[0].params[1]", `Duplicate value: {"name":"a"}`},
		"auth type twice":      {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types = append(s.Auth.Types, s.Auth.Types[0]) }, "spec.auth.types[1]", `Duplicate value: {"name":"auth"}`},
		"auth probe twice":     {func(s *v1alpha1.ConnectorClassSpec) { s.AuthProbes = append(s.AuthProbes, s.AuthProbes[0]) }, "spec.authProbes[1]", `Duplicate value: {"authName":"auth"}`},
		"configuration twice":  {func(s *v1alpha1.ConnectorClassSpec) { s.Configurations = append(s.Configurations, s.Configurations[0]) }, "spec.configurations[1]", `Duplicate value: {"name":"config"}`},
		"param without a name": {func(s *v1alpha1.ConnectorClassSpec) { s.Params[0].Name = "" }, "spec.params[0].name", empty},
		"type without a name":  {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].Name = "" }, "spec.auth.types[0].name", empty},
		"files without a name": {func(s *v1alpha1.ConnectorClassSpec) { s.Configurations[0].Name = "" }, "spec.configurations[0].name", empty},

		"type of a Secret too long": {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].SecretType = strings.Repeat("a", 254) }, "spec.auth.types[0].secretType", "may not be more than 253 bytes"},
		"probe of no auth type":     {func(s *v1alpha1.ConnectorClassSpec) { s.AuthProbes[0].AuthName = "other" }, "spec.authProbes", noAuth},
		"probe, but no auth types":  {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types = nil }, "spec.authProbes", noAuth},
		"probe, but no auth":        {func(s *v1alpha1.ConnectorClassSpec) { s.Auth = nil }, "spec.authProbes", noAuth},

		"type of a param":      {func(s *v1alpha1.ConnectorClassSpec) { s.Params[0].Type = "number" }, "spec.params[0].type", `supported values: "string", "array", "object"`},
		"default not in enum":  {func(s *v1alpha1.ConnectorClassSpec) { s.Params[0].Enum = []string{"b"} }, "spec.params[0].default", "must be one of the values in enum"},
		"the same, of a probe": {func(s *v1alpha1.ConnectorClassSpec) { s.AuthProbes[0].Params[0].Enum = []string{"b"} }, "spec.authProbes[0].params[0].default", "must be one of the values in enum"},
		"the same, an address": {func(s *v1alpha1.ConnectorClassSpec) {
			s.Address.ParamConstraints = s.Params[0].ParamConstraints
			s.Address.Enum = []string{"b"}
		}, "spec.address.default", "must be one of the values in enum"},
		"liveness path":         {func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.Path = "livez" }, "spec.livenessProbe.http.path", badPath},
		"auth path":             {func(s *v1alpha1.ConnectorClassSpec) { s.AuthProbes[0].Probe.HTTP.Path = "https://a/b" }, "spec.authProbes[0].probe.http.path", badPath},
		"method":                {func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.Method = "PUT" }, "spec.livenessProbe.http.method", `supported values: "GET", "POST"`},
		"scheme":                {func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.Scheme = "ftp" }, "spec.livenessProbe.http.scheme", `supported values: "http", "https"`},
		"header with a space":   {header("A b"), "spec.livenessProbe.http.httpHeaders[0].name", badName},
		"header with a colon":   {header("A:"), "spec.livenessProbe.http.httpHeaders[0].name", badName},
		"header with a newline": {header("A\n"), "spec.livenessProbe.http.httpHeaders[0].name", badName},
		"header of letters":     {header("Ä"), "spec.livenessProbe.http.httpHeaders[0].name", badName},
		"expression too long":   {func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.Response.CEL = strings.Repeat("a", 4097) }, "spec.livenessProbe.http.response.cel", "may not be more than 4096 bytes"},

		"file with a slash": {files("a/b"), "spec.configurations[0].data", badFile},
		"file of no name":   {files(""), "spec.configurations[0].data", badFile},
		"the directory":     {files("."), "spec.configurations[0].data", badFile},
		"the one above":     {files(".."), "spec.configurations[0].data", badFile},
		"kubelet's own":     {files("..data"), "spec.configurations[0].data", badFile},
		"name too long":     {files(strings.Repeat("a", 254)), "spec.configurations[0].data", badFile},
		"too much data":     {data(16, 262144/16+1), "spec.configurations", tooMuch},
		"too much, unevenly": {func(s *v1alpha1.ConnectorClassSpec) {
			data(15, 1)(s)
			s.Configurations[3].Data["big"] = strings.Repeat("a", 262144)
		}, "spec.configurations", tooMuch},
	} {
		t.Run(name, func(t *testing.T) {
			class := validClass().DeepCopy() // what is shared there is not any more
			tc.change(&class.Spec)
			err := api.Create(t.Context(), class, client.DryRunAll)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.field+": ")
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func header(name string) func(*v1alpha1.ConnectorClassSpec) {
	return func(s *v1alpha1.ConnectorClassSpec) { s.LivenessProbe.HTTP.HTTPHeaders[0].Name = name }
}

func files(names ...string) func(*v1alpha1.ConnectorClassSpec) {
	return func(s *v1alpha1.ConnectorClassSpec) {
		for _, name := range names {
			s.Configurations[0].Data[name] = ""
		}
	}
}

// data is a number of configurations, each of a number of characters, names of
// files included. The characters are of three bytes each.
func data(configurations, characters int) func(*v1alpha1.ConnectorClassSpec) {
	return func(s *v1alpha1.ConnectorClassSpec) {
		s.Configurations = nil
		for i := range configurations {
			s.Configurations = append(s.Configurations, v1alpha1.Configuration{
				Name: fmt.Sprint(i), Data: map[string]string{"a": strings.Repeat("€", characters-1)},
			})
		}
	}
}

// largest has as many and as long values as may be where a rule looks at them:
// the API server must not give up on any, because it counts what rules cost.
func largest(s *v1alpha1.ConnectorClassSpec) {
	name := func(i int) string { return strings.Repeat("n", 250) + fmt.Sprintf("%03d", i) }
	var enum []string
	for i := range 64 {
		enum = append(enum, name(i))
	}
	last := apiextensionsv1.JSON{Raw: fmt.Appendf(nil, "%q", enum[63])}
	params := func(n int) []v1alpha1.ParamSpec {
		var specs []v1alpha1.ParamSpec
		for i := range n {
			specs = append(specs, v1alpha1.ParamSpec{Name: fmt.Sprint(i), ParamConstraints: v1alpha1.ParamConstraints{Default: &last, Enum: enum}})
		}
		return specs
	}
	s.Params = params(32) // more do not fit into a request with all the rest
	s.Auth.Types, s.AuthProbes, s.Configurations = nil, nil, nil
	for i := range 16 {
		s.Auth.Types = append(s.Auth.Types, v1alpha1.AuthType{Name: name(i)})
		s.AuthProbes = append(s.AuthProbes, v1alpha1.AuthProbe{AuthName: name(i)})
	}
	s.Auth.Types[0].Params, s.AuthProbes[0].Params = params(8), params(8)
	for i := range 32 {
		configuration := v1alpha1.Configuration{Name: name(i), Data: map[string]string{}}
		for j := range 32 {
			configuration.Data[name(j)[:128-3]+fmt.Sprintf("%03d", j)] = strings.Repeat("v", 128)
		}
		s.Configurations = append(s.Configurations, configuration)
	}
}

// A default is a string, as all values of parameters are.
func TestClassDefaultsAreStrings(t *testing.T) {
	for _, value := range []any{true, int64(1), []any{"a"}, map[string]any{"a": "b"}} {
		class := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "other"},
			"spec":     map[string]any{"params": []any{map[string]any{"name": "a", "default": value}}},
		}}
		class.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ConnectorClass"))
		require.ErrorContains(t, api.Create(t.Context(), class, client.DryRunAll), "spec.params[0].default in body must be of type string")
	}
}
