package install

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// inventory is every object in the cluster, by resource, namespace and name; of
// every kind that the API server has, whether we know it or not.
func inventory(t *testing.T) (objects []string, whole bool) {
	t.Helper()
	config := clusters.Home.RESTConfig()
	config.QPS, config.Burst = 100, 200
	discoverer, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	client, err := metadata.NewForConfig(config)
	require.NoError(t, err)
	lists, err := discoverer.ServerPreferredResources()
	if err != nil {
		return nil, false // a group that is about to go
	}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, resource := range list.APIResources {
			// Events are about what was, and go by themselves.
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "events" {
				continue
			}
			found, err := client.Resource(group.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return nil, false
			}
			for _, object := range found.Items {
				objects = append(objects, group.WithResource(resource.Name).GroupResource().String()+" "+object.Namespace+"/"+object.Name)
			}
		}
	}
	slices.Sort(objects)
	return objects, true
}

// leavesNothing takes an inventory now, and checks at the end of the test that it
// is the same again.
func leavesNothing(t *testing.T) (check func()) {
	t.Helper()
	was, whole := inventory(t)
	require.True(t, whole)
	require.NotEmpty(t, was)
	return func() {
		t.Helper()
		var is []string
		eventually(t, func() bool {
			now, whole := inventory(t)
			is = now
			return whole && slices.Equal(was, now)
		}, "what is in the cluster is not what was: %v", difference{&was, &is})
	}
}

// difference prints what two inventories do not have in common.
type difference struct{ was, is *[]string }

func (d difference) String() string {
	text := ""
	for _, object := range *d.is {
		if !slices.Contains(*d.was, object) {
			text += "\n+ " + object
		}
	}
	for _, object := range *d.was {
		if !slices.Contains(*d.is, object) {
			text += "\n- " + object
		}
	}
	return text
}
