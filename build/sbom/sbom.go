// Package sbom writes what a program consists of as a CycloneDX document, from
// what Go has put into it: the modules with their versions and checksums, and the
// version of Go.
//
// The same program gives the same bytes: there is no serial number and no time in
// a document.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// Version is that of CycloneDX, which has the media type MediaType.
const (
	Version   = cyclonedx.SpecVersion1_6
	MediaType = "application/vnd.cyclonedx+json; version=1.6"
)

// Program says what a file is that Go has built.
type Program struct {
	// Path is the file on this machine.
	Path string
	// Name and Version are the product's for it.
	Name, Version string
	// License is the SPDX expression of our own code.
	License string
}

// Write is the document of a program, as JSON.
func Write(p Program) ([]byte, error) {
	info, err := buildinfo.ReadFile(p.Path)
	if err != nil {
		return nil, fmt.Errorf("reading what %s is made of: %w", p.Path, err)
	}
	content, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(document(p, info, sha256.Sum256(content)), Version); err != nil {
		return nil, fmt.Errorf("writing what %s is made of: %w", p.Path, err)
	}
	return out.Bytes(), nil
}

func document(p Program, info *debug.BuildInfo, sum [sha256.Size]byte) *cyclonedx.BOM {
	main := purl(info.Main.Path, p.Version) + "#" + strings.TrimPrefix(info.Path, info.Main.Path+"/")
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	components := []cyclonedx.Component{library("stdlib", goVersion)}
	for _, module := range info.Deps {
		if r := module.Replace; r != nil && r.Version != "" && r.Version != "(devel)" { // not a directory
			module = module.Replace
		}
		components = append(components, library(module.Path, module.Version))
	}
	slices.SortFunc(components, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	var uses []string
	for i := range components {
		uses = append(uses, components[i].BOMRef)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		BOMRef: main, Type: cyclonedx.ComponentTypeApplication, Name: p.Name, Version: p.Version, PackageURL: main,
		Hashes:     &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sum)}},
		Licenses:   &cyclonedx.Licenses{{Expression: p.License}},
		Properties: settings(info),
	}}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: main, Dependencies: &uses}}
	return bom
}

// library is a Go module, named as the vulnerability databases name it.
func library(path, version string) cyclonedx.Component {
	return cyclonedx.Component{
		BOMRef: purl(path, version), Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl(path, version),
	}
}

// purl is a package URL. A + in a version would be read as a space.
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// settings are how the program was built.
func settings(info *debug.BuildInfo) *[]cyclonedx.Property {
	properties := []cyclonedx.Property{{Name: "go", Value: info.GoVersion}}
	for _, setting := range info.Settings {
		properties = append(properties, cyclonedx.Property{Name: "build:" + setting.Key, Value: setting.Value})
	}
	return &properties
}
