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
// patch of which all holds that must. It need not even be a valid one, of which
// FuzzRandomPods makes more.
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
		c := &testCase{pod: marshal(t, &pod), namespace: ns}
		request, err := inject.ReadRequest(&pod, ns)
		if err != nil {
			assertRefusal(t, err)
			return
		}
		for _, ref := range request.Connectors {
			require.Equal(t, namespace, ref.Namespace, "a Connector of another namespace")
			connector := &v1alpha1.Connector{}
			connector.Namespace, connector.Name = ref.Namespace, ref.Name
			connector.Spec.Address = "https://192.168.1.100:6443"
			connector.Spec.Auth = &v1alpha1.ConnectorAuth{SecretRef: &corev1.ObjectReference{Name: "s"}}
			c.connectors = append(c.connectors, connector)
		}
		if len(c.connectors) > 0 {
			_, err = inject.Plan(&pod, request, c.connectors, options)
			require.Equal(t, c.pod, marshal(t, &pod), "Plan changed the Pod")
		}
		if err != nil {
			assertRefusal(t, err)
			return
		}
		result, err := c.plan(c.pod)
		require.NoError(t, err)
		c.holds(t, result, 1)
	})
}
