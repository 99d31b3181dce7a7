package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"
)

// What of the chart is not made from config/: its values, and texts.
//
//go:embed all:chart
var static embed.FS

// settingsName is the name of a ConfigMap with settings. kustomize puts a hash at
// its end; Helm replaces the ConfigMap and rolls the Pods by an annotation.
var settingsName = regexp.MustCompile(`^(connector-(webhook|controller)-settings)-[a-z0-9]+$`)

// makeChart makes the files of the chart: the objects as they are, with template
// expressions where values.yaml has something to say.
func makeChart(objects resmap.ResMap, version string) (map[string][]byte, error) {
	m := maker{version: version, resources: map[string]string{}, files: map[string][]byte{}}
	for _, object := range objects.Resources() {
		content, err := object.Map()
		if err != nil {
			return nil, err
		}
		if err := m.add(object.GetKind(), object.GetName(), content); err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return m.files, m.addStatic()
}

type maker struct {
	version string
	// resources are those of the Deployments, for values.yaml.
	resources map[string]string
	files     map[string][]byte
}

type object = map[string]any

// add adds the template of one object.
func (m *maker) add(kind, name string, content object) error {
	var markers []marker
	var err error
	switch kind {
	case "Namespace":
		return nil // the release's own, which Helm makes
	case "ConfigMap":
		if match := settingsName.FindStringSubmatch(name); match != nil {
			markers, name = m.settings(match[1], match[2], content), match[1]
		}
	case "Deployment":
		markers, err = m.deployment(strings.TrimPrefix(name, "connector-"), content)
	case "CustomResourceDefinition":
		markers, err = crd(content)
	case "ValidatingAdmissionPolicy":
		markers, err = m.policy(content)
	}
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return err
	}
	// What looks like a template in the source is none.
	text = bytes.ReplaceAll(text, []byte("{{"), []byte(`{{ "{{" }}`))
	for _, marker := range markers {
		if text, err = replaceOnce(text, marker.line, marker.by); err != nil {
			return err
		}
	}
	if value, ok := switches[kind]; ok {
		text = fmt.Appendf(nil, "{{- if .Values.%s }}\n%s{{- end }}\n", value, text)
	}
	m.files["templates/"+strings.ToLower(kind)+"-"+name+".yaml"] = text
	return nil
}

// switches are the kinds that can be left out, and the value that says so.
var switches = map[string]string{
	"PodDisruptionBudget": "podDisruptionBudget.enabled",
	"NetworkPolicy":       "networkPolicy.enabled",
}

// marker is a piece of an object's YAML and what stands there in the template.
type marker struct{ line, by string }

// settings takes the data of a ConfigMap from the values.
func (m *maker) settings(name, program string, content object) []marker {
	content["metadata"].(object)["name"] = name
	content["data"] = "SETTINGS"
	return []marker{{"data: SETTINGS\n", `data:
{{- include "kube-connector.settings" (dict "root" . "program" "` + program + `") | nindent 2 }}
`}}
}

// deployment takes from the values what is different from cluster to cluster.
func (m *maker) deployment(program string, content object) ([]marker, error) {
	spec := content["spec"].(object)
	template := spec["template"].(object)
	pod := template["spec"].(object)
	container := pod["containers"].([]any)[0].(object)

	want := "kube-connector.invalid/" + program + ":" + m.version
	if container["image"] != want {
		return nil, fmt.Errorf("the image is %v; it must be %s, which VERSION says: make generate changes it", container["image"], want)
	}
	for _, volume := range pod["volumes"].([]any) {
		if source, ok := volume.(object)["configMap"].(object); ok {
			source["name"] = settingsName.ReplaceAllString(source["name"].(string), "$1")
		}
	}
	resources, err := yaml.Marshal(object{"resources": container["resources"]})
	if err != nil {
		return nil, err
	}
	m.resources[program] = strings.ReplaceAll(strings.TrimSpace(string(resources)), "\n", "\n  ")

	spec["replicas"], container["image"], container["resources"] = "REPLICAS", "IMAGE", "RESOURCES"
	template["metadata"].(object)["annotations"] = "ANNOTATIONS"
	pod["PLACEMENT"] = ""
	return []marker{
		{"replicas: REPLICAS\n", "replicas: {{ .Values." + program + ".replicas }}\n"},
		{"image: IMAGE\n", `image: {{ include "kube-connector.image" (dict "root" . "program" "` + program + "\") }}\n"},
		{"resources: RESOURCES\n", "resources:\n{{- toYaml .Values." + program + ".resources | nindent 10 }}\n"},
		{"annotations: ANNOTATIONS\n", `annotations:
        checksum/settings: {{ include "kube-connector.settings" (dict "root" . "program" "` + program + `") | sha256sum }}
`},
		{"      PLACEMENT: \"\"\n", placement},
	}, nil
}

const placement = `{{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $key }}
      {{ $key }}:
{{- toYaml . | nindent 8 }}
{{- end }}
{{- end }}
`

// policy takes from the values whom a policy does not hold for, and what may be the
// sidecar.
func (m *maker) policy(content object) ([]marker, error) {
	spec := content["spec"].(object)
	var markers []marker
	conditions, _ := spec["matchConditions"].([]any)
	for _, condition := range conditions {
		if c := condition.(object); c["name"] == "is-not-exempt" {
			c["expression"] = "EXEMPT"
			markers = append(markers, marker{"expression: EXEMPT\n", "expression: {{ include \"kube-connector.exempt\" . | toJson }}\n"})
		}
	}
	variables, _ := spec["variables"].([]any)
	for _, variable := range variables {
		if v := variable.(object); v["name"] == "images" {
			if want := "'kube-connector.invalid/sidecar:" + m.version + "'.split(' ')"; v["expression"] != want {
				return nil, fmt.Errorf("the images are %v; they must be %s, which VERSION says: make generate changes it", v["expression"], want)
			}
			v["expression"] = "SIDECARS"
			markers = append(markers, marker{"expression: SIDECARS\n", "expression: {{ include \"kube-connector.sidecars\" . | toJson }}\n"})
		}
	}
	return markers, nil
}

// crd keeps a CRD, and with it people's Connectors, when the release is removed.
func crd(content object) ([]marker, error) {
	metadata := content["metadata"].(object)
	annotations, ok := metadata["annotations"].(object)
	if !ok {
		return nil, fmt.Errorf("the CRD has no annotations; controller-gen's version should be there")
	}
	annotations["KEEP"] = ""
	return []marker{{"    KEEP: \"\"\n", "{{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n{{- end }}\n"}}, nil
}

// addStatic adds the files that are not made from config/.
func (m *maker) addStatic() error {
	return fs.WalkDir(static, "chart", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, "chart/")
		switch name {
		case "Chart.yaml":
			// The chart's is a semantic version, the images' begins with a v.
			if content, err = replaceOnce(content, "version: VERSION", "version: "+strings.TrimPrefix(m.version, "v")); err == nil {
				content, err = replaceOnce(content, "appVersion: APPVERSION", "appVersion: "+m.version)
			}
		case "values.yaml":
			for program, resources := range m.resources {
				if content, err = replaceOnce(content, "resources: "+strings.ToUpper(program), resources); err != nil {
					break
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.files[name] = content
		return nil
	})
}
