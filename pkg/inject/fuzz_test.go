package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// FuzzPlan: whatever a Pod looks like, it is refused with a reason or gets a
// patch that applies and that a second admission has nothing to add to.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"a"}]}}`), "k8s-connector")
	f.Add([]byte(`{"metadata":{"labels":null},"spec":{"volumes":null,"initContainers":[{"name":"connector-proxy"}],"containers":[]}}`), "a,b")
	f.Add([]byte(`{"spec":{"hostNetwork":true}}`), "team-b/x")
	f.Fuzz(func(t *testing.T, raw []byte, annotation string) {
		var pod corev1.Pod
		if json.Unmarshal(raw, &pod) != nil {
			return
		}
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[v1alpha1.AnnotationConnectors] = annotation
		refs, err := inject.References(&pod, namespace)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		var connectors []*v1alpha1.Connector
		for _, ref := range refs {
			require.Equal(t, namespace, ref.Namespace, "a Connector of another namespace")
			c := &v1alpha1.Connector{}
			c.Namespace, c.Name = ref.Namespace, ref.Name
			c.Spec.Address = "https://192.168.1.100:6443"
			c.Spec.Auth = &v1alpha1.ConnectorAuth{SecretRef: &corev1.ObjectReference{Name: "s"}}
			connectors = append(connectors, c)
		}
		if len(connectors) == 0 {
			return
		}
		before := marshal(t, &pod)
		first, err := inject.Plan(&pod, connectors, options)
		require.Equal(t, before, marshal(t, &pod), "Plan changed the Pod")
		if err != nil {
			return
		}
		after := apply(t, before, first.Patch)
		var injected corev1.Pod
		require.NoError(t, json.Unmarshal(after, &injected))
		require.Equal(t, inject.SidecarName, injected.Spec.InitContainers[0].Name)
		second, err := inject.Plan(&injected, connectors, options)
		require.NoError(t, err)
		require.Empty(t, second.Patch, "a second admission changes the Pod")
	})
}
