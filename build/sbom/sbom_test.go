package sbom

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// built is a program that Go has built, with two modules.
func built(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range map[string]string{
		"go.mod": "module example.com/main\n\ngo 1.26.0\n\nrequire (\n\texample.com/a v1.2.3\n\texample.com/b v2.0.0+incompatible\n)\n\n" +
			"replace (\n\texample.com/a => ./a\n\texample.com/b => ./b\n)\n",
		"cmd/sidecar/main.go": "package main\n\nimport (\n\t_ \"example.com/a\"\n\t_ \"example.com/b\"\n)\n\nfunc main() {}\n",
		"a/go.mod":            "module example.com/a\n", "a/a.go": "package a\n",
		"b/go.mod": "module example.com/b\n", "b/b.go": "package b\n",
	} {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", "program", "./cmd/sidecar")
	cmd.Dir = root
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return filepath.Join(root, "program")
}

func TestWrite(t *testing.T) {
	program := Program{Path: built(t), Name: "Kubernetes Connector sidecar", Version: "v1.2.3+meta", License: "Apache-2.0"}
	text, err := Write(program)
	require.NoError(t, err)
	again, err := Write(program)
	require.NoError(t, err)
	assert.Equal(t, string(text), string(again), "not reproducible")

	var bom cyclonedx.BOM
	require.NoError(t, cyclonedx.NewBOMDecoder(bytes.NewReader(text), cyclonedx.BOMFileFormatJSON).Decode(&bom))
	assert.Equal(t, cyclonedx.BOMFormat, bom.BOMFormat)
	assert.Equal(t, Version, bom.SpecVersion)
	main := bom.Metadata.Component
	assert.Equal(t, program.Name, main.Name)
	assert.Equal(t, program.Version, main.Version)
	assert.Regexp(t, `^pkg:golang/example\.com/main@v1\.2\.3%2Bmeta#cmd/sidecar$`, main.PackageURL)
	assert.Regexp(t, `^[0-9a-f]{64}$`, (*main.Hashes)[0].Value)
	assert.Equal(t, "Apache-2.0", (*main.Licenses)[0].Expression)

	var urls []string
	for _, component := range *bom.Components {
		assert.Equal(t, component.BOMRef, component.PackageURL)
		urls = append(urls, component.PackageURL)
	}
	assert.Equal(t, []string{
		"pkg:golang/example.com/a@v1.2.3",
		"pkg:golang/example.com/b@v2.0.0%2Bincompatible",
		"pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go"),
	}, urls)
	require.Len(t, *bom.Dependencies, 1)
	assert.Equal(t, main.BOMRef, (*bom.Dependencies)[0].Ref)
	assert.Equal(t, urls, *(*bom.Dependencies)[0].Dependencies, "what the program uses")
}

func TestNoProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600))
	_, err := Write(Program{Path: file})
	require.ErrorContains(t, err, "reading what "+file+" is made of")
}
