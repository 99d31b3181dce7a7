package v1alpha1_test

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// remedy is what most refusals end in.
	remedy = "; update that webhook, or exempt Pods with the label connectors.alauda.io/injected=true from it"
	// noSidecar and changed are what many begin with.
	noSidecar = "the Pod asks for Connectors and has no init container connector-proxy: "
	changed   = "another admission webhook changed container connector-proxy: "
)

// broken are Pods that injection has left well, and somebody has changed since.
// What people are told ends in the remedy, unless it says something else.
var broken = map[string]struct {
	change func(pod *corev1.Pod, sidecar *corev1.Container)
	want   string
	ends   string
}{
	"no init containers": {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.InitContainers = nil },
		noSidecar + "another admission webhook removed it", ", or remove the annotation connectors.alauda.io/status if it was copied from another Pod"},
	"no annotation either": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.InitContainers = nil
		delete(pod.Annotations, v1alpha1.AnnotationStatus)
	}, noSidecar + "injection did not see it; ", "is the MutatingWebhookConfiguration connector-webhook there, and as it was installed?"},
	"no init container but others": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.InitContainers = []corev1.Container{{Name: "other", Image: "other"}}
	}, noSidecar, "from another Pod"},
	"among the containers": {func(pod *corev1.Pod, sidecar *corev1.Container) {
		moved := *sidecar
		moved.RestartPolicy = nil
		pod.Spec.InitContainers, pod.Spec.Containers = nil, append(pod.Spec.Containers, moved)
	}, noSidecar, "from another Pod"},
	"no mounts":                  {func(_ *corev1.Pod, c *corev1.Container) { c.VolumeMounts = nil }, changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/state, /var/run/connector-proxy/kubeconfig, /var/run/connector-proxy/volumes/kubeconfig, /var/run/connector-proxy/credentials/team-a/prod, /var/run/connector-proxy/credentials/team-a/staging", ""},
	"no mount of the state":      {withoutMount("/var/run/connector-proxy/state"), changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/state;", ""},
	"no mount of the kubeconfig": {withoutMount("/var/run/connector-proxy/kubeconfig"), changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/kubeconfig;", ""},
	"no mount of the csi volume": {withoutMount("/var/run/connector-proxy/volumes/kubeconfig"), changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/volumes/kubeconfig;", ""},
	"no mount of a token":        {withoutMount("/var/run/connector-proxy/credentials/team-a/staging"), changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/credentials/team-a/staging;", ""},
	"a read-only mount": {func(_ *corev1.Pod, c *corev1.Container) { c.VolumeMounts[0].ReadOnly = true },
		changed + "it has no mount, or only a read-only one, at /var/run/connector-proxy/kubeconfig;", ""},
	"a csi volume too late": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "late", VolumeSource: csiSource()})
	}, "volume late is still a csi volume of driver connectors-csi, which no node has: ", "let it come before the webhook connector-webhook"},
	"after an init container that needs it": {func(pod *corev1.Pod, _ *corev1.Container) {
		first(pod, corev1.Container{Name: "migrate", VolumeMounts: pod.Spec.Containers[0].VolumeMounts})
	}, "init container migrate has a kubeconfig and would run before container connector-proxy, which makes it: ", "name those that do in the annotation connectors.alauda.io/containers"},
	"a writable kubeconfig": {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.Containers[0].VolumeMounts[1].ReadOnly = false },
		"container main could write into the kubeconfig of others: ", ""},
	"a writable kubeconfig of csi": {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.Containers[0].VolumeMounts[0].ReadOnly = false },
		"container main could write into the kubeconfig of others: ", ""},
	"a writable kubeconfig in an added sidecar": {func(pod *corev1.Pod, _ *corev1.Container) {
		first(pod, sidecarOf("mesh", corev1.VolumeMount{Name: "connectors-kubeconfig", MountPath: "/x"}))
	}, "container mesh could write into the kubeconfig of others: ", ""},
	"a kubeconfig for nobody": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.Containers[0].VolumeMounts = pod.Spec.Containers[0].VolumeMounts[:1]
	}, "no container mounts volume connectors-kubeconfig any more: ", ""},
}

// harmless are changes of an injected Pod with which it works.
var harmless = map[string]func(pod *corev1.Pod, sidecar *corev1.Container){
	"another sidecar first": func(pod *corev1.Pod, _ *corev1.Container) { first(pod, sidecarOf("mesh")) },
	"a sidecar with a kubeconfig first": func(pod *corev1.Pod, _ *corev1.Container) {
		first(pod, sidecarOf("agent", corev1.VolumeMount{Name: "connectors-kubeconfig", MountPath: "/x", ReadOnly: true}))
	},
	"an init container first that has no kubeconfig": func(pod *corev1.Pod, _ *corev1.Container) {
		first(pod, corev1.Container{Name: "mesh-init"})
	},
	"more of everything": func(pod *corev1.Pod, c *corev1.Container) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "CLUSTER", Value: "home"})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "certs", MountPath: "/etc/ssl/certs", ReadOnly: true})
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "certs"})
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late", Image: "late"})
	},
	"another image": func(_ *corev1.Pod, c *corev1.Container) { c.Image = "mirror.example.com/sidecar:v1" },
	"no label":      func(pod *corev1.Pod, _ *corev1.Container) { pod.Labels = nil },
	"a hardened sidecar": security(func(s *corev1.SecurityContext) {
		s.SELinuxOptions = &corev1.SELinuxOptions{Level: "s0"}
	}),
}

func volume(pod *corev1.Pod, name string) *corev1.Volume {
	return &pod.Spec.Volumes[slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })]
}

func csiSource() corev1.VolumeSource {
	return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: v1alpha1.CSIDriver}}
}

func tcpProbe() *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(17443)}}}
}

// first puts a container before all init containers.
func first(pod *corev1.Pod, c corev1.Container) {
	c.Image = "image"
	pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, c)
}

func sidecarOf(name string, mounts ...corev1.VolumeMount) corev1.Container {
	return corev1.Container{Name: name, RestartPolicy: new(corev1.ContainerRestartPolicyAlways), VolumeMounts: mounts}
}

func withoutMount(path string) func(*corev1.Pod, *corev1.Container) {
	return func(_ *corev1.Pod, c *corev1.Container) {
		c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
	}
}

func mountInApp(name string) func(*corev1.Pod, *corev1.Container) {
	return func(pod *corev1.Pod, _ *corev1.Container) {
		app := &pod.Spec.Containers[0]
		app.VolumeMounts = append(app.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/x", ReadOnly: true})
	}
}

func security(change func(*corev1.SecurityContext)) func(*corev1.Pod, *corev1.Container) {
	return func(_ *corev1.Pod, c *corev1.Container) { change(c.SecurityContext) }
}
