package docs_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/docs"
)

// TestRepository checks what can be checked of this repository's documents
// without a cluster; test/e2e runs their commands.
func TestRepository(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	root := os.DirFS("../..")
	all, err := docs.Find(root)
	require.NoError(t, err)
	require.Greater(t, len(all), 2, "documents")
	problems := docs.CheckLinks(root, all)
	index := make(map[string]bool)
	for _, document := range all {
		if document.Path == "docs/README.md" {
			for _, link := range document.Links {
				index[path.Join("docs", link.Destination)] = true
			}
		}
	}
	for _, document := range all {
		_, ofManifests := docs.Manifests(document, scheme)
		_, ofScript := docs.Script(document, all)
		problems = errors.Join(problems, ofManifests, ofScript)
		if strings.HasPrefix(document.Path, "docs/") && document.Path != "docs/README.md" && !index[document.Path] {
			problems = errors.Join(problems, fmt.Errorf("%s: docs/README.md, the index, does not link to it", document.Path))
		}
	}
	assert.NoError(t, problems)
}
