package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// validateClass compiles a class. The finding is about its condition Ready: the
// schema has checked a lot already, and this is the rest. Without probes it says
// what is wrong, or what this version cannot do, and in which field.
func validateClass(spec *v1alpha1.ConnectorClassSpec) (*probe.Class, finding) {
	problems := typeProblems(spec)
	probes, err := probe.Compile(spec)
	problems = append(problems, fieldErrors(err)...)
	problems = append(problems, templateProblems(spec.Configurations)...)
	if len(problems) == 0 {
		return probes, good(v1alpha1.ReasonReady, "Connectors can be of this class")
	}

	// What is wrong comes before what cannot be done.
	first, reason := problems[0], v1alpha1.ReasonUnsupported
	if i := slices.IndexFunc(problems, func(p *probe.FieldError) bool { return !p.Unsupported }); i >= 0 {
		first, reason = problems[i], v1alpha1.ReasonInvalidSpec
	}
	message := abbreviate(first.Error())
	if others := len(problems) - 1; others > 0 {
		message += fmt.Sprintf(" (and %d more)", others)
	}
	return nil, bad(reason, "%s", message)
}

// fieldErrors are the parts of an error of probe.Compile.
func fieldErrors(err error) []*probe.FieldError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*probe.FieldError
		for _, part := range joined.Unwrap() {
			all = append(all, fieldErrors(part)...)
		}
		return all
	}
	var field *probe.FieldError
	if !errors.As(err, &field) {
		field = &probe.FieldError{Field: "spec", Problem: err.Error()}
	}
	return []*probe.FieldError{field}
}

// typeProblems are about parameters of types that the published API names and
// nobody uses.
func typeProblems(spec *v1alpha1.ConnectorClassSpec) []*probe.FieldError {
	var problems []*probe.FieldError
	check := func(field string, t v1alpha1.ParamType) {
		if t != "" && t != v1alpha1.ParamTypeString {
			problems = append(problems, &probe.FieldError{
				Field: field + ".type", Problem: fmt.Sprintf("%s is not supported; make it %s", t, v1alpha1.ParamTypeString), Unsupported: true,
			})
		}
	}
	checkAll := func(field string, params []v1alpha1.ParamSpec) {
		for i := range params {
			check(fmt.Sprintf("%s[%d]", field, i), params[i].Type)
		}
	}
	if spec.Address != nil {
		check("spec.address", spec.Address.Type)
	}
	checkAll("spec.addressExtensions", spec.AddressExtensions)
	checkAll("spec.params", spec.Params)
	if spec.Auth != nil {
		for i := range spec.Auth.Types {
			checkAll(fmt.Sprintf("spec.auth.types[%d].params", i), spec.Auth.Types[i].Params)
		}
	}
	for i := range spec.AuthProbes {
		checkAll(fmt.Sprintf("spec.authProbes[%d].params", i), spec.AuthProbes[i].Params)
	}
	for i := range spec.Configurations {
		checkAll(fmt.Sprintf("spec.configurations[%d].params", i), spec.Configurations[i].Params)
	}
	return problems
}

// templateProblems are about files that are no templates.
func templateProblems(configurations []v1alpha1.Configuration) []*probe.FieldError {
	functions := sprig.TxtFuncMap()
	// Whoever will render the files has an environment that is not the class's
	// business.
	delete(functions, "env")
	delete(functions, "expandenv")

	var problems []*probe.FieldError
	for i := range configurations {
		data := configurations[i].Data
		for _, name := range slices.Sorted(maps.Keys(data)) {
			if _, err := template.New("").Funcs(functions).Parse(data[name]); err != nil {
				problems = append(problems, &probe.FieldError{
					Field:   fmt.Sprintf("spec.configurations[%d].data[%s]", i, name),
					Problem: "is not a Go template with the functions of sprig: line " + strings.TrimPrefix(err.Error(), "template: :"),
				})
			}
		}
	}
	return problems
}
