package probe

import "github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"

// view is what templates see. Its fields are named as the templates of published
// classes name them. It has no methods, so that templates can call none.
type view struct {
	Connector connectorView
	Secret    *secretView
}

type connectorView struct {
	Name, Namespace     string
	Labels, Annotations map[string]string
	Spec                specView
}

type specView struct {
	ConnectorClassName string
	Address            string
	AddressExtensions  []paramView
	Auth               authView
	Params             []paramView
}

type authView struct {
	Name   string
	Params []paramView
}

type paramView struct {
	Name  string
	Value valueView
}

type valueView struct{ Type, StringVal string }

type secretView struct{ StringData map[string]string }

func (c *Class) view(connector *v1alpha1.Connector, secret map[string][]byte, authDefaults []v1alpha1.Param) *view {
	extensions := make([]v1alpha1.Param, len(connector.Spec.AddressExtensions))
	for i, e := range connector.Spec.AddressExtensions {
		extensions[i] = v1alpha1.Param(e)
	}
	v := &view{Connector: connectorView{
		Name:        connector.Name,
		Namespace:   connector.Namespace,
		Labels:      connector.Labels,
		Annotations: connector.Annotations,
		Spec: specView{
			ConnectorClassName: connector.Spec.ConnectorClassName,
			Address:            connector.Spec.Address,
			AddressExtensions:  withDefaults(extensions, c.extensions),
			Params:             withDefaults(connector.Spec.Params, c.params),
		},
	}}
	var given []v1alpha1.Param
	if auth := connector.Spec.Auth; auth != nil {
		v.Connector.Spec.Auth.Name = auth.Name
		given = auth.Params
	}
	v.Connector.Spec.Auth.Params = withDefaults(given, authDefaults)
	if secret != nil {
		v.Secret = &secretView{StringData: make(map[string]string, len(secret))}
		for key, value := range secret {
			if len(value) <= maxText { // no longer one could be written
				v.Secret.StringData[key] = string(value)
			}
		}
	}
	return v
}

// withDefaults are the parameters that are given and the defaults of those that are
// not.
func withDefaults(given, defaults []v1alpha1.Param) []paramView {
	all := make([]paramView, 0, len(given)+len(defaults))
	seen := make(map[string]bool, len(given))
	add := func(p v1alpha1.Param) {
		all = append(all, paramView{Name: p.Name, Value: valueView{Type: "string", StringVal: p.Value}})
	}
	for _, p := range given {
		seen[p.Name] = true
		add(p)
	}
	for _, p := range defaults {
		if !seen[p.Name] {
			add(p)
		}
	}
	return all
}
