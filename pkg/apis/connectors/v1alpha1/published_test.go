package v1alpha1_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Manifests as people publish them for this API apply, with the strict
// validation of kubectl, and both as a create and as a server-side apply.
func TestPublishedManifestsApply(t *testing.T) {
	paths, err := filepath.Glob("testdata/published/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	seen := make(map[string]bool)
	for _, path := range paths {
		for _, object := range documents(t, path) {
			t.Run(filepath.Base(path)+"/"+object.GetKind()+"/"+object.GetName(), func(t *testing.T) {
				if class, _, _ := unstructured.NestedString(object.Object, "spec", "connectorClassName"); class != "" {
					seen[class] = true
				}
				require.NoError(t, api.Create(t.Context(), object.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)))
				object.SetUID("") // an apply with one is for an object that exists
				require.NoError(t, api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.FieldOwner("test")))
			})
		}
	}
	for _, class := range []string{"git", "github", "gitlab", "harbor", "jfrog", "k8s", "maven", "nexus", "npm", "oci", "pypi", "sonarqube"} {
		require.True(t, seen[class], "no manifest of class %s", class)
	}
}

// These the published API takes and this one does not, each for the reason that
// a person is told. docs/connectorclass.md lists them.
func TestPublishedManifestsThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ spec, want string }{
		"http": {
			`{connectorClassName: git, address: "http://git.example.com"}`,
			"must start with https://, because the token is only sent over verified TLS",
		},
		"credentials in the address": {
			`{connectorClassName: git, address: "https://user:secret@git.example.com"}`,
			"must not carry user info; credentials belong into the Secret",
		},
		"a query in the address": {
			`{connectorClassName: git, address: "https://git.example.com/?a=b"}`,
			"must not have a query or a fragment",
		},
		"a value that is no string": {
			`{connectorClassName: git, address: "https://git.example.com", params: [{name: a, value: 1}]}`,
			"must be of type string",
		},
		"no class": {`{address: "https://git.example.com"}`, "spec.connectorClassName: Required value"},
		"nothing":  {`{}`, "spec.address: Required value"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, submit(t, "Connector", tc.spec), tc.want)
		})
	}
	t.Run("a default that is no string", func(t *testing.T) {
		require.ErrorContains(t, submit(t, "ConnectorClass", `{params: [{name: a, default: true}]}`), "must be of type string")
	})
}

// These the published API's own definitions refuse, although some of its
// examples have them.
func TestWhatIsNotPublishedIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ kind, spec, want string }{
		"headers as a map":  {"ConnectorClass", `{livenessProbe: {http: {path: /, httpHeaders: {Authorization: a}}}}`, `unknown field "spec.livenessProbe.http.httpHeaders.Authorization"`},
		"a probe's path":    {"ConnectorClass", `{livenessProbe: {http: {method: GET}}}`, "spec.livenessProbe.http.path: Required value"},
		"a header's value":  {"ConnectorClass", `{livenessProbe: {http: {path: /, httpHeaders: [{name: a}]}}}`, "spec.livenessProbe.http.httpHeaders[0].value: Required value"},
		"another method":    {"ConnectorClass", `{livenessProbe: {http: {path: /, method: HEAD}}}`, `supported values: "GET", "POST"`},
		"an unknown field":  {"ConnectorClass", `{livenessProbe: {tcp: {port: 80}}}`, `unknown field "spec.livenessProbe.tcp"`},
		"an unknown field ": {"Connector", `{connectorClassName: a, address: "https://a", adresses: b}`, `unknown field "spec.adresses"`},
		"no value":          {"Connector", `{connectorClassName: a, address: "https://a", params: [{name: b}]}`, "spec.params[0].value: Required value"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, submit(t, tc.kind, tc.spec), tc.want)
		})
	}
}

// submit creates an object of a spec with the strict validation of kubectl.
func submit(t *testing.T, kind, spec string) error {
	t.Helper()
	object := &unstructured.Unstructured{}
	manifest := "metadata: {name: submitted, namespace: default}\nspec: " + spec
	require.NoError(t, yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096).Decode(&object.Object))
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return api.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// documents are the objects of a file, those without a namespace in the one that
// kubectl would put them into.
func documents(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err, path)
		if object.GetNamespace() == "" && object.GetKind() != "ConnectorClass" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		objects = append(objects, object)
	}
}
