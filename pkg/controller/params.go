package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// paramsProblem says what is wrong with the values that a Connector has, by what
// its class says of them; it is empty if they fit.
func paramsProblem(c *v1alpha1.Connector, class *v1alpha1.ConnectorClass, authType *v1alpha1.AuthType) string {
	spec := &class.Spec
	var auth []v1alpha1.Param
	if c.Spec.Auth != nil {
		auth = c.Spec.Auth.Params
	}
	extensions := make([]v1alpha1.Param, len(c.Spec.AddressExtensions))
	for i, extension := range c.Spec.AddressExtensions {
		extensions[i] = v1alpha1.Param(extension)
	}
	if spec.Address != nil && !allowed(spec.Address.Enum, c.Spec.Address) {
		return fmt.Sprintf("spec.address must be one of %s", strings.Join(spec.Address.Enum, ", "))
	}
	for _, part := range []struct {
		field string
		wants []v1alpha1.ParamSpec
		given []v1alpha1.Param
	}{
		{"spec.addressExtensions", spec.AddressExtensions, extensions},
		{"spec.params", spec.Params, c.Spec.Params},
		{"spec.auth.params", paramsOfProbe(spec, authType), auth},
	} {
		if problem := compareParams(part.wants, part.given); problem != "" {
			return part.field + " " + problem
		}
	}
	return ""
}

// paramsOfProbe are the parameters of the probe of an auth type. What an auth type
// itself has as parameters are keys of its Secret.
func paramsOfProbe(spec *v1alpha1.ConnectorClassSpec, authType *v1alpha1.AuthType) []v1alpha1.ParamSpec {
	for i := range spec.AuthProbes {
		if authType != nil && spec.AuthProbes[i].AuthName == authType.Name {
			return spec.AuthProbes[i].Params
		}
	}
	return nil
}

// compareParams says what is wrong with values, without the values: they are
// other people's, and may be long.
func compareParams(wants []v1alpha1.ParamSpec, given []v1alpha1.Param) string {
	for i := range given {
		at := slices.IndexFunc(wants, func(want v1alpha1.ParamSpec) bool { return want.Name == given[i].Name })
		switch {
		case at < 0 && len(wants) == 0:
			return fmt.Sprintf("has %q, but the class knows none; remove it", given[i].Name)
		case at < 0:
			return fmt.Sprintf("has %q, which the class does not know; it knows %s", given[i].Name, namesOf(wants))
		case !allowed(wants[at].Enum, given[i].Value):
			return fmt.Sprintf("has %q with another value than the class allows; make it one of %s", given[i].Name, strings.Join(wants[at].Enum, ", "))
		}
	}
	for i := range wants {
		isGiven := slices.ContainsFunc(given, func(param v1alpha1.Param) bool { return param.Name == wants[i].Name })
		if isGiven || wants[i].Default != nil {
			continue
		}
		problem := fmt.Sprintf("lacks %q, which the class wants", wants[i].Name)
		switch {
		case len(wants[i].Enum) > 0:
			problem += ": one of " + strings.Join(wants[i].Enum, ", ")
		case wants[i].Description != "":
			problem += ": " + wants[i].Description
		}
		return problem
	}
	return ""
}

func namesOf(params []v1alpha1.ParamSpec) string {
	names := make([]string, len(params))
	for i := range params {
		names[i] = params[i].Name
	}
	return strings.Join(names, ", ")
}

// allowed reports whether a value may be one. If none are listed, all may.
func allowed(enum []string, value string) bool {
	return len(enum) == 0 || slices.Contains(enum, value)
}
