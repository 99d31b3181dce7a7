package probe

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Class is a ConnectorClass whose templates and expressions are compiled. It does
// not change, and may be used by several goroutines.
type Class struct {
	liveness *request
	// auth are the probes by the names of their auth types.
	auth map[string]authProbe
	// params and extensions are what a Connector has if it says nothing.
	params, extensions []v1alpha1.Param
}

type authProbe struct {
	request *request
	params  []v1alpha1.Param
}

// FieldError is what is wrong with one field of a ConnectorClass.
type FieldError struct {
	// Field is its path, as in spec.authProbes[0].probe.http.path.
	Field string
	// Problem is what is wrong and what would be right, for people.
	Problem string
	// Unsupported says that it is valid, but that this version cannot do it.
	Unsupported bool
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Problem) }

// Compile compiles a ConnectorClass. The error joins a *FieldError for each field
// that is wrong.
func Compile(spec *v1alpha1.ConnectorClassSpec) (*Class, error) {
	c := &Class{
		auth:       make(map[string]authProbe, len(spec.AuthProbes)),
		params:     defaults(spec.Params),
		extensions: defaults(spec.AddressExtensions),
	}
	var problems, err error
	if c.liveness, err = compileProbe("spec.livenessProbe", spec.LivenessProbe); err != nil {
		problems = errors.Join(problems, err)
	}
	for i := range spec.AuthProbes {
		p := &spec.AuthProbes[i]
		compiled, err := compileProbe(fmt.Sprintf("spec.authProbes[%d].probe", i), p.Probe)
		if err != nil {
			problems = errors.Join(problems, err)
		}
		c.auth[p.AuthName] = authProbe{request: compiled, params: defaults(p.Params)}
	}
	if problems != nil {
		return nil, problems
	}
	return c, nil
}

// compileProbe is nil if the probe asks nothing.
func compileProbe(field string, p *v1alpha1.Probe) (*request, error) {
	switch {
	case p == nil:
		return nil, nil
	case p.API != nil:
		return nil, &FieldError{Field: field + ".api", Problem: "probes by the API of a class are not supported; use http", Unsupported: true}
	case p.HTTP == nil:
		return nil, nil
	}
	return compileRequest(field+".http", p.HTTP)
}

// defaults are the parameters that have a default. One that is no string is of a
// type that a class must not have, so it is left to whoever checks the types.
func defaults(specs []v1alpha1.ParamSpec) []v1alpha1.Param {
	var params []v1alpha1.Param
	for i := range specs {
		var value string
		if d := specs[i].Default; d != nil && json.Unmarshal(d.Raw, &value) == nil {
			params = append(params, v1alpha1.Param{Name: specs[i].Name, Value: value})
		}
	}
	return params
}

// Liveness is the question whether the target of a Connector is alive, nil if the
// class does not ask. The error is an *Error.
func (c *Class) Liveness(connector *v1alpha1.Connector) (*Question, error) {
	if c.liveness == nil {
		return nil, nil
	}
	return c.liveness.render(c.view(connector, nil, nil))
}

// AsksAuth reports whether the class has a probe for an auth type.
func (c *Class) AsksAuth(authType string) bool { return c.auth[authType].request != nil }

// Auth is the question whether the target of a Connector accepts its Secret, which
// is nil if the Connector has none. The question is nil if the class does not ask
// about the auth type. The error is an *Error.
func (c *Class) Auth(authType string, connector *v1alpha1.Connector, secret map[string][]byte) (*Question, error) {
	p := c.auth[authType]
	if p.request == nil {
		return nil, nil
	}
	return p.request.render(c.view(connector, secret, p.params))
}
