package controller_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// A Connector has the parameters that its class asks for, or says which it lacks.
func TestParams(t *testing.T) {
	one := &apiextensionsv1.JSON{Raw: []byte(`"one"`)}
	wants := []v1alpha1.ParamSpec{
		{Name: "needed", ParamConstraints: v1alpha1.ParamConstraints{Description: "what it is for"}},
		{Name: "choice", ParamConstraints: v1alpha1.ParamConstraints{Default: one, Enum: []string{"one", "two"}}},
	}
	class := func(s *v1alpha1.ConnectorClassSpec) {
		s.Params = wants
		s.AddressExtensions = []v1alpha1.ParamSpec{
			{Name: "api", ParamConstraints: v1alpha1.ParamConstraints{Enum: []string{"https://a", "https://b"}}},
			{Name: "upload", ParamConstraints: v1alpha1.ParamConstraints{Default: &apiextensionsv1.JSON{Raw: []byte(`"https://upload"`)}}},
		}
		s.Auth.Types = append(s.Auth.Types, v1alpha1.AuthType{Name: "other", Params: wants}) // keys of a Secret
		s.AuthProbes = []v1alpha1.AuthProbe{{AuthName: "bearerTokenAuth", Params: wants}}
	}
	fits := func(c *v1alpha1.ConnectorSpec) {
		c.Params = []v1alpha1.Param{{Name: "needed", Value: "a"}}
		c.AddressExtensions = []v1alpha1.AddressExtension{{Name: "api", Value: "https://a"}}
		c.Auth.Params = []v1alpha1.Param{{Name: "needed"}, {Name: "choice", Value: "two"}}
	}
	for name, tc := range map[string]struct {
		class  func(*v1alpha1.ConnectorClassSpec)
		change func(*v1alpha1.ConnectorSpec)
		want   string // "" if it fits
	}{
		"all there": {class, func(*v1alpha1.ConnectorSpec) {}, ""},
		"more than needed": {class, func(c *v1alpha1.ConnectorSpec) {
			c.Params = append(c.Params, v1alpha1.Param{Name: "choice", Value: "one"})
		}, ""},
		"auth type without a probe": {class, func(c *v1alpha1.ConnectorSpec) { c.Auth.Name, c.Auth.Params = "other", nil }, ""},
		"a parameter missing":       {class, func(c *v1alpha1.ConnectorSpec) { c.Params = nil }, `spec.params lacks "needed", which the class wants: what it is for`},
		"a parameter unknown":       {class, func(c *v1alpha1.ConnectorSpec) { c.Params[0].Name = "neded" }, `spec.params has "neded", which the class does not know; it knows needed, choice`},
		"a value that is not listed": {class, func(c *v1alpha1.ConnectorSpec) {
			c.Params = append(c.Params, v1alpha1.Param{Name: "choice", Value: "a"})
		}, `spec.params has "choice" with another value than the class allows; make it one of one, two`},
		"an address missing":        {class, func(c *v1alpha1.ConnectorSpec) { c.AddressExtensions = nil }, `spec.addressExtensions lacks "api", which the class wants: one of https://a, https://b`},
		"an address unknown":        {class, func(c *v1alpha1.ConnectorSpec) { c.AddressExtensions[0].Name = "web" }, `spec.addressExtensions has "web", which the class does not know; it knows api, upload`},
		"an address not listed":     {class, func(c *v1alpha1.ConnectorSpec) { c.AddressExtensions[0].Value = "https://c" }, `spec.addressExtensions has "api" with another value than the class allows; make it one of https://a, https://b`},
		"one for the probe missing": {class, func(c *v1alpha1.ConnectorSpec) { c.Auth.Params = nil }, `spec.auth.params lacks "needed", which the class wants: what it is for`},
		"one of another auth type":  {class, func(c *v1alpha1.ConnectorSpec) { c.Auth.Name = "other" }, `spec.auth.params has "needed", but the class knows none; remove it`},
		"the address not listed": {func(s *v1alpha1.ConnectorClassSpec) {
			class(s)
			s.Address = &v1alpha1.AddressSpec{ParamConstraints: v1alpha1.ParamConstraints{Enum: []string{"https://c", "https://d"}}}
		}, func(*v1alpha1.ConnectorSpec) {}, "spec.address must be one of https://c, https://d"},
		"the class knows none": {func(*v1alpha1.ConnectorClassSpec) {}, func(*v1alpha1.ConnectorSpec) {}, `spec.addressExtensions has "api", but the class knows none; remove it`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			f.newClass(tc.class)
			fits(&f.connector.Spec)
			tc.change(&f.connector.Spec)
			f.create(f.secret, f.connector)
			if tc.want == "" {
				f.await(soon, isTrue(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonResolved))
				return
			}
			f.await(soon, isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonParamsInvalid, tc.want),
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonParamsInvalid, tc.want))
		})
	}
}

// Connectors whose class begins to ask for more say so at once.
func TestParamsOfAClassChange(t *testing.T) {
	f := newFixture(t, patient)
	class := f.newClass(func(*v1alpha1.ConnectorClassSpec) {})
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	f.update(class, func() { class.Spec.Params = []v1alpha1.ParamSpec{{Name: "region"}} })
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonParamsInvalid, `spec.params lacks "region", which the class wants`))
	f.update(f.connector, func() { f.connector.Spec.Params = []v1alpha1.Param{{Name: "region", Value: "a"}} })
	f.await(soon, ready)
}
