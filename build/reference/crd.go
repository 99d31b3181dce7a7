package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// kubernetesTypes are types of Kubernetes' own, known by a field that only they
// have. Their fields are explained elsewhere.
var kubernetesTypes = map[string]string{
	"fieldPath":          "[ObjectReference](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-reference/)",
	"lastTransitionTime": "[Condition](https://pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#Condition)",
}

// crd writes what a CustomResourceDefinition says about its fields.
func crd(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &definition); err != nil {
		return "", err
	}
	names := definition.Spec.Names
	b := &strings.Builder{}
	fmt.Fprintf(b, "## %s\n\n", names.Kind)
	for _, version := range definition.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		fmt.Fprintf(b, "%s\n\n", schema.Description)
		fmt.Fprintf(b, "Scope: %s. In kubectl: `%s`.\n\n", definition.Spec.Scope, strings.Join(append([]string{names.Plural, names.Singular}, names.ShortNames...), "`, `"))
		for _, rule := range schema.XValidations {
			fmt.Fprintf(b, "Rule: %s.\n\n", rule.Message)
		}
		b.WriteString("| Field | Type | Meaning |\n|---|---|---|\n")
		for _, part := range []string{"spec", "status"} {
			if properties, ok := schema.Properties[part]; ok {
				writeFields(b, part, properties)
			}
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// writeFields writes a row for each field below path, required ones first.
func writeFields(b *strings.Builder, path string, schema apiextensionsv1.JSONSchemaProps) {
	optional := func(name string) int {
		if slices.Contains(schema.Required, name) {
			return 0
		}
		return 1
	}
	names := slices.Sorted(maps.Keys(schema.Properties))
	slices.SortStableFunc(names, func(a, b string) int { return optional(a) - optional(b) })
	for _, name := range names {
		field, path := schema.Properties[name], path+"."+name
		element := field
		if field.Items != nil {
			path += "[]"
			element = *field.Items.Schema
		}
		kind := element.Type
		known := false
		for property, link := range kubernetesTypes {
			if _, found := element.Properties[property]; found {
				kind, known = link, true
			}
		}
		meaning := prose(field.Description)
		if optional(name) == 1 {
			meaning = "Optional. " + meaning
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", path, kind, cell(meaning+rules(field)))
		if !known {
			writeFields(b, path, element)
		}
	}
}

// rules says what values a field can have.
func rules(field apiextensionsv1.JSONSchemaProps) string {
	var all []string
	for _, value := range field.Enum {
		all = append(all, "only `"+strings.Trim(string(value.Raw), `"`)+"`")
	}
	if field.MaxLength != nil {
		all = append(all, fmt.Sprintf("at most %d characters", *field.MaxLength))
	}
	if field.MaxItems != nil {
		all = append(all, fmt.Sprintf("at most %d items", *field.MaxItems))
	}
	for _, rule := range field.XValidations {
		all = append(all, rule.Message)
	}
	if len(all) == 0 {
		return ""
	}
	return "<br>• " + strings.Join(all, "<br>• ")
}

// prose makes one line of a comment.
func prose(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// cell keeps text from ending a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
