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
	const (
		plain = `{"spec":{"containers":[{"name":"a","volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}`
		odd   = `{"metadata":{"labels":null},"spec":{"volumes":null,"initContainers":[{"name":"connector-proxy"}],"containers":[]}}`
		auto  = `{"spec":{"volumes":[{"name":"kube-api-access-x","projected":{"sources":[]}}],"containers":[{"name":"a","env":[{"name":"KUBERNETES_SERVICE_PORT","value":"17445"}],"volumeMounts":[{"name":"kube-api-access-x","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true}]}]}}`
		csi   = `{"spec":{"volumes":[{"name":"v","csi":{"driver":"connectors-csi","volumeAttributes":{"connectors":"b"}}}]}}`
	)
	const enabled, always = v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways
	f.Add([]byte(plain), enabled, "", "k8s-connector", "a", "/opt/kube", "", "", "", "")
	f.Add([]byte(auto), enabled, "", "a", "", "", "", "", "", "true")
	f.Add([]byte(auto), enabled, "", "a", "", "", "v", "a", "kubeconfig", "true")
	f.Add([]byte(auto), enabled, "", "a", "a", "", "", "", "", "true")
	f.Add([]byte(plain), enabled, "", "a,b", "", "", "", "", "", "true")
	f.Add([]byte(odd), enabled, "a", "a,b", "", "", "v", "a,c", "kubeconfig", "false")
	f.Add([]byte(`{"spec":{"hostNetwork":true}}`), enabled, "", "team-b/x", "", "", "", "", "", "yes")
	f.Add([]byte(csi), "", "a", "", "", "", "w", "a", "", "true")
	f.Add([]byte(csi), enabled, "", "a", "b", "/etc/../x", "v=/kubeconfig", "team-a/a", "other", "")
	f.Add([]byte(plain), always, "a,b", "", " a ,a", "/v/w", "", "", "", "")
	f.Add([]byte(plain), always, "a", "", "", "", "", "", "", "true")
	f.Add([]byte(odd), always, "team-b/x", "", "", "", "", "", "", "")
	f.Add([]byte(`{"spec":{"hostPID":true}}`), always, "a", "", "", "", "v", "b", "kubeconfig", "")
	f.Add([]byte(csi), always, "", "", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, raw []byte, injection, defaults, annotation, containers, mountPath, volume, names, configuration, inCluster string) {
		var pod corev1.Pod
		if json.Unmarshal(raw, &pod) != nil {
			return
		}
		for key, value := range map[string]string{
			v1alpha1.AnnotationConnectors: annotation, v1alpha1.AnnotationContainers: containers, v1alpha1.AnnotationMountPath: mountPath,
			v1alpha1.AnnotationInCluster: inCluster,
		} {
			if value == "" {
				continue
			}
			if pod.Annotations == nil {
				pod.Annotations = map[string]string{}
			}
			pod.Annotations[key] = value
		}
		ns := inject.Namespace{Name: namespace, Injection: injection, Connectors: defaults}
		if volume != "" {
			source := &corev1.CSIVolumeSource{Driver: v1alpha1.CSIDriver, VolumeAttributes: map[string]string{
				v1alpha1.AttributeConnectors: names, v1alpha1.AttributeConfigurationNames: configuration,
			}}
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{CSI: source}})
		}
		request, err := inject.ReadRequest(&pod, ns)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		var connectors []*v1alpha1.Connector
		for _, ref := range request.Connectors {
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
		first, err := inject.Plan(&pod, request, connectors, options)
		require.Equal(t, before, marshal(t, &pod), "Plan changed the Pod")
		if err != nil {
			return
		}
		after := apply(t, before, first.Patch)
		var injected corev1.Pod
		require.NoError(t, json.Unmarshal(after, &injected))
		require.Equal(t, inject.SidecarName, injected.Spec.InitContainers[0].Name)
		request, err = inject.ReadRequest(&injected, ns)
		require.NoError(t, err)
		second, err := inject.Plan(&injected, request, connectors, options)
		require.NoError(t, err)
		require.Empty(t, second.Patch, "a second admission changes the Pod")
	})
}
