package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestConstants(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "prefix.go"), `package keys

import "example.com/not/there"

type Reason string

const Prefix = "example.com/"

var Version = there.Version
`)
	write(t, filepath.Join(dir, "keys.go"), `package keys

const Alone = "is not in a group"

// Labels of Pods.
const (
	// LabelA on a Pod
	// chooses a | b.
	LabelA = Prefix + "a"
	// ReasonB: like LabelA.
	ReasonB Reason = "b"
)
`)
	text, err := constants(dir, "keys.go")
	require.NoError(t, err)
	assert.Equal(t, "Labels of Pods.\n\n"+
		"| Value | Meaning |\n|---|---|\n"+
		"| `example.com/a` | on a Pod chooses a \\| b. |\n"+
		"| `b` | like `example.com/a`. |\n", text)

	_, err = constants(dir, "none.go")
	assert.ErrorContains(t, err, "there is no none.go")
}

func TestCRD(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "crd.yaml"), `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  names: {kind: Thing, plural: things, singular: thing, shortNames: [th]}
  scope: Namespaced
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: Thing is one.
        x-kubernetes-validations: [{rule: "true", message: the name is short}]
        properties:
          metadata: {type: object}
          spec:
            required: [size]
            properties:
              owner: {type: object, description: Owner of it., properties: {fieldPath: {type: string}}}
              parts:
                type: array
                maxItems: 3
                items: {type: object, properties: {name: {type: string, maxLength: 9}}}
              size:
                type: string
                description: |-
                  Size is
                  how big.
                enum: [small]
                x-kubernetes-validations: [{rule: "true", message: must be small}]
`)
	text, err := crd(file)
	require.NoError(t, err)
	assert.Equal(t, "## Thing\n\nThing is one.\n\nScope: Namespaced. In kubectl: `things`, `thing`, `th`.\n\nRule: the name is short.\n\n"+
		"| Field | Type | Meaning |\n|---|---|---|\n"+
		"| `spec.size` | string | Size is how big.<br>• only `small`<br>• must be small |\n"+
		"| `spec.owner` | "+kubernetesTypes["fieldPath"]+" | Optional. Owner of it. |\n"+
		"| `spec.parts[]` | object | Optional. <br>• at most 3 items |\n"+
		"| `spec.parts[].name` | string | Optional. <br>• at most 9 characters |\n\n", text)
}
