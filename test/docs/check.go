package docs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// CheckLinks returns an error for every link that leads nowhere: to a file or a
// heading that isn't there. Links to other sites are not followed.
func CheckLinks(root fs.FS, all []*Document) error {
	var errs []error
	for _, document := range all {
		for _, link := range document.Links {
			if err := checkLink(root, all, document, link.Destination); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: the link to %s: %w", document.Path, link.Line, link.Destination, err))
			}
		}
	}
	return errors.Join(errs...)
}

func checkLink(root fs.FS, all []*Document, from *Document, destination string) error {
	if strings.HasPrefix(destination, "https://") || strings.HasPrefix(destination, "http://") {
		return nil
	}
	name, anchor, _ := strings.Cut(destination, "#")
	if name == "" {
		name = from.Path
	} else {
		name = path.Join(path.Dir(from.Path), name)
	}
	if _, err := fs.Stat(root, name); err != nil {
		return err
	}
	if anchor == "" {
		return nil
	}
	i := slices.IndexFunc(all, func(d *Document) bool { return d.Path == name })
	if i < 0 || !slices.Contains(all[i].Anchors, anchor) {
		return fmt.Errorf("%s has no heading with the anchor #%s", name, anchor)
	}
	return nil
}

// Manifest is a whole object in a document.
type Manifest struct {
	// Line is where the block starts that it stands in.
	Line int
	// Text is the object in YAML.
	Text string
}

// Manifests are the whole objects in the yaml of a document, each decoded
// strictly if scheme knows its kind. What has no kind is a part of something, of
// which only the syntax can be checked.
func Manifests(document *Document, scheme *runtime.Scheme) ([]Manifest, error) {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var manifests []Manifest
	var errs []error
	for _, block := range document.Blocks {
		if block.Language != "yaml" {
			continue
		}
		whole, err := wholeObjects(block.Text)
		for _, object := range whole {
			manifests = append(manifests, Manifest{Line: block.Line, Text: object})
			if _, _, e := strict.Decode([]byte(object), nil, nil); !runtime.IsNotRegisteredError(e) {
				err = errors.Join(err, e)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", document.Path, block.Line, err))
		}
	}
	return manifests, errors.Join(errs...)
}

// wholeObjects are the objects of a block that say what they are.
func wholeObjects(block string) ([]string, error) {
	var objects []string
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(block)))
	for {
		object, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return objects, err
		}
		var content any
		if err := yaml.UnmarshalStrict(object, &content); err != nil {
			return objects, err
		}
		if fields, _ := content.(map[string]any); fields["apiVersion"] != nil && fields["kind"] != nil {
			objects = append(objects, string(object))
		}
	}
}
