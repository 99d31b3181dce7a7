package inject_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// The API server shows us Pods of up to 3 MiB before it looks at them itself, of
// whoever may create Pods. If the work grew with the square of that, each of these
// would take minutes, and the tests run out of time.
func TestLargePods(t *testing.T) {
	const many = 20_000
	list := func(n int, each string) string { return strings.TrimSuffix(strings.Repeat(each+",", n), ",") }
	csi := func(i int, names ...string) corev1.Volume {
		return corev1.Volume{Name: fmt.Sprintf("v%05d", i), VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
			Driver:           v1alpha1.CSIDriver,
			VolumeAttributes: map[string]string{v1alpha1.AttributeConnectors: strings.Join(names, ","), v1alpha1.AttributeConfigurationNames: "kubeconfig"},
		}}}
	}
	for name, test := range map[string]struct {
		annotations map[string]string
		make        func(pod *corev1.Pod, main *corev1.Container)
		refused     string
	}{
		"Connectors of volumes": {nil, func(pod *corev1.Pod, _ *corev1.Container) {
			for i := range many {
				names := make([]string, connector.MaxReferences)
				for j := range names {
					names[j] = fmt.Sprintf("%05x", i*len(names)+j)
				}
				pod.Spec.Volumes = append(pod.Spec.Volumes, csi(i, names...))
			}
		}, "more than 64 volumes of driver connectors-csi"},
		"volumes and mounts of them": {nil, func(pod *corev1.Pod, main *corev1.Container) {
			for i := range many {
				pod.Spec.Volumes = append(pod.Spec.Volumes, csi(i, "a"))
				main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("v%05d", many-1), ReadOnly: true})
			}
		}, "more than 64 volumes of driver connectors-csi"},
		"containers, and their names": {map[string]string{v1alpha1.AnnotationContainers: list(10*many, "main")}, func(pod *corev1.Pod, _ *corev1.Container) {
			for i := range 5 * many {
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: fmt.Sprintf("%04x", i)})
			}
		}, ""},
		"API tokens and mounts": {map[string]string{v1alpha1.AnnotationInCluster: "true"}, func(pod *corev1.Pod, main *corev1.Container) {
			for i := range 5 * many {
				pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
					Name: fmt.Sprintf("kube-api-access-%06d", i), VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}},
				})
				main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access-xxxxxx", MountPath: "/a"})
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
			pod.Annotations = test.annotations
			if test.annotations != nil {
				pod.Annotations[v1alpha1.AnnotationConnectors] = "a"
			}
			test.make(pod, &pod.Spec.Containers[0])
			request, err := inject.ReadRequest(pod, inject.Namespace{Name: namespace, Injection: v1alpha1.InjectionEnabled})
			if test.refused != "" {
				require.ErrorContains(t, err, test.refused)
				return
			}
			require.NoError(t, err)
			_, err = inject.Plan(pod, request, nil, options)
			require.NoError(t, err)
		})
	}
}
