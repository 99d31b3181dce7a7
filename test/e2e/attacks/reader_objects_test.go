package attacks

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "reader_objects", actor: reader, outcome: prevented,
	tries: "reads all objects of all kinds in all namespaces, as JSON and with their managed fields",
	what:  "the token is in no object but the Secret",
	run: func(t *testing.T, s *scene) {
		var rules []rbacv1.PolicyRule
		var paths []string
		_, lists, err := bed.HomeSet.Discovery().ServerGroupsAndResources()
		require.NoError(t, err)
		for _, list := range lists {
			version, err := schema.ParseGroupVersion(list.GroupVersion)
			require.NoError(t, err)
			for _, resource := range list.APIResources {
				if !slices.Contains([]string(resource.Verbs), "list") || version.Group == "" && resource.Name == "secrets" {
					continue
				}
				rules = append(rules, may(version.Group, resource.Name, "get", "list"))
				path := "/apis/" + list.GroupVersion
				if version.Group == "" {
					path = "/api/" + list.GroupVersion
				}
				paths = append(paths, path+"/"+resource.Name)
			}
		}
		mallory := s.everywhere(t, rules)
		for _, path := range paths {
			content, err := mallory.set.CoreV1().RESTClient().Get().AbsPath(path).Do(t.Context()).Raw()
			require.NoError(t, err, path)
			s.sees(string(content))
		}
		assert.Contains(t, s.seen.String(), "k8s-connector")
		_, err = mallory.set.CoreV1().Secrets(s.namespace).Get(t.Context(), theSecret, metav1.GetOptions{})
		require.ErrorContains(t, err, "cannot get resource")
	},
})
