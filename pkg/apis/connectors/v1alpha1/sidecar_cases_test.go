package v1alpha1_test

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// notOurs is what most refusals begin with, and leaveIt what they end in.
	notOurs = "container connector-proxy is not as injection makes it: "
	leaveIt = "; leave it to injection; if another admission webhook changed it, update that webhook, " +
		"or exempt Pods with the label connectors.alauda.io/injected=true from it"
)

// tampered are Pods that injection has left well, and somebody has changed since,
// or has written like that. What people are told ends in leaveIt, unless it says
// something else.
var tampered = map[string]struct {
	change func(pod *corev1.Pod, sidecar *corev1.Container)
	want   string
	ends   string
}{
	"no restartPolicy": {func(_ *corev1.Pod, c *corev1.Container) {
		c.RestartPolicy, c.Lifecycle = nil, nil // the API server itself refuses it with a lifecycle
	}, notOurs + "it has no restartPolicy: Always, so the Pod would wait for ever for its end", ""},
	"another restartPolicy": {func(_ *corev1.Pod, c *corev1.Container) {
		never := corev1.ContainerRestartPolicyNever
		c.RestartPolicy, c.Lifecycle = &never, nil
	}, notOurs + "it has no restartPolicy: Always", ""},
	"a command":    {func(_ *corev1.Pod, c *corev1.Container) { c.Command = []string{"wrapper"} }, notOurs + "it has a command, or other arguments", ""},
	"no arguments": {func(_ *corev1.Pod, c *corev1.Container) { c.Args = nil }, notOurs + "it has a command, or other arguments", ""},
	"wrapped":      {func(_ *corev1.Pod, c *corev1.Container) { c.Args = slices.Insert(c.Args, 0, "/sidecar") }, notOurs + "it has a command, or other arguments", ""},
	"no hook":      {func(_ *corev1.Pod, c *corev1.Container) { c.Lifecycle = nil }, notOurs + "it has no postStart hook", ""},
	"only another hook": {func(_ *corev1.Pod, c *corev1.Container) {
		c.Lifecycle = &corev1.Lifecycle{PreStop: c.Lifecycle.PostStart}
	}, notOurs + "it has no postStart hook", ""},
	"a liveness probe":  {func(_ *corev1.Pod, c *corev1.Container) { c.LivenessProbe = tcpProbe() }, notOurs + "it has a probe", ""},
	"a readiness probe": {func(_ *corev1.Pod, c *corev1.Container) { c.ReadinessProbe = tcpProbe() }, notOurs + "it has a probe", ""},
	"a startup probe":   {func(_ *corev1.Pod, c *corev1.Container) { c.StartupProbe = tcpProbe() }, notOurs + "it has a probe", ""},
	"a kubeconfig on a disk": {func(pod *corev1.Pod, _ *corev1.Container) {
		volume(pod, "connectors-kubeconfig").EmptyDir.Medium = corev1.StorageMediumDefault
	}, notOurs + "its volume connectors-kubeconfig is no emptyDir in memory", ""},
	"a state on the node": {func(pod *corev1.Pod, _ *corev1.Container) {
		volume(pod, "connectors-state").VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp"}}
	}, notOurs + "its volume connectors-state is no emptyDir in memory", ""},
	"a csi volume again": {func(pod *corev1.Pod, _ *corev1.Container) {
		volume(pod, "kubeconfig").VolumeSource = csiSource()
	}, notOurs + "its volume kubeconfig is no emptyDir in memory", ""},
	"no securityContext": {func(_ *corev1.Pod, c *corev1.Container) { c.SecurityContext = nil },
		notOurs + "its securityContext is weaker in allowPrivilegeEscalation, readOnlyRootFilesystem, runAsNonRoot, runAsUser, capabilities, seccompProfile", ""},
	"privileged": {security(func(s *corev1.SecurityContext) {
		s.Privileged, s.AllowPrivilegeEscalation = new(true), nil
	}), notOurs + "its securityContext is weaker in privileged, allowPrivilegeEscalation", ""},
	"a writable root":       {security(func(s *corev1.SecurityContext) { s.ReadOnlyRootFilesystem = nil }), notOurs + "its securityContext is weaker in readOnlyRootFilesystem", ""},
	"perhaps root":          {security(func(s *corev1.SecurityContext) { s.RunAsNonRoot = nil }), notOurs + "its securityContext is weaker in runAsNonRoot", ""},
	"another user":          {security(func(s *corev1.SecurityContext) { s.RunAsUser = new(int64(1000)) }), notOurs + "its securityContext is weaker in runAsUser", ""},
	"a capability":          {security(func(s *corev1.SecurityContext) { s.Capabilities.Add = []corev1.Capability{"SYS_PTRACE"} }), notOurs + "its securityContext is weaker in capabilities", ""},
	"default capabilities":  {security(func(s *corev1.SecurityContext) { s.Capabilities = nil }), notOurs + "its securityContext is weaker in capabilities", ""},
	"no seccomp":            {security(func(s *corev1.SecurityContext) { s.SeccompProfile = nil }), notOurs + "its securityContext is weaker in seccompProfile", ""},
	"an app with the token": {mountInApp("connectors-credentials-1"), "container main mounts a volume that only container connector-proxy may have", ""},
	"an app with the state": {mountInApp("connectors-state"), "container main mounts a volume that only container connector-proxy may have", ""},
	"a sidecar with the token": {func(pod *corev1.Pod, _ *corev1.Container) {
		first(pod, sidecarOf("mesh", corev1.VolumeMount{Name: "connectors-credentials-0", MountPath: "/x"}))
	}, "container mesh mounts a volume that only container connector-proxy may have", ""},
	"the node's network":   {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.HostNetwork = true }, "the Pod has hostNetwork, with which others could use or read container connector-proxy", ""},
	"the node's processes": {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.HostPID = true }, "the Pod has hostPID, ", ""},
	"shared processes":     {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.ShareProcessNamespace = new(true) }, "the Pod has shareProcessNamespace, ", ""},

	"another image":     {func(_ *corev1.Pod, c *corev1.Container) { c.Image = "evil.example.com/sidecar:v1" }, notOurs + "it has the image evil.example.com/sidecar:v1, and only " + sidecarImage + " may hold a token; ", "must name that image, too"},
	"another tag":       {func(_ *corev1.Pod, c *corev1.Container) { c.Image = sidecarImage + "-1" }, notOurs + "it has the image ", "must name that image, too"},
	"another hook":      {hook("/sidecar", "version"), notOurs + "it has another hook than /sidecar wait", ""},
	"a hook with flags": {hook("/sidecar", "wait", "--state-dir=/x"), notOurs + "it has another hook than /sidecar wait", ""},
	"a hook too many":   {func(_ *corev1.Pod, c *corev1.Container) { c.Lifecycle.PreStop = c.Lifecycle.PostStart }, notOurs + "it has another hook than /sidecar wait", ""},
	"no container":      {func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.InitContainers = nil }, noSidecar + "another admission webhook removed it", "from another Pod"},
	"no container, no annotation": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.InitContainers, pod.Annotations = nil, nil
	}, "the Pod has a volume connectors-credentials-…, with the token of a Connector, and no init container connector-proxy", "in the annotation connectors.alauda.io/connectors"},
	"a container": {func(pod *corev1.Pod, c *corev1.Container) {
		moved := *c
		moved.RestartPolicy = nil
		pod.Spec.InitContainers, pod.Annotations, pod.Spec.Containers = nil, nil, append(pod.Spec.Containers, moved)
	}, "the Pod has a volume connectors-credentials-…", "in the annotation connectors.alauda.io/connectors"},

	"a working directory": {func(_ *corev1.Pod, c *corev1.Container) { c.WorkingDir = "/tmp" }, notOurs + "it has workingDir", ""},
	"another message":     {func(_ *corev1.Pod, c *corev1.Container) { c.TerminationMessagePath = "/etc/ssl/certs/ca.crt" }, notOurs + "it has terminationMessagePath", ""},
	"a device": {func(pod *corev1.Pod, c *corev1.Container) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "disk", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "disk"}}})
		c.VolumeDevices = []corev1.VolumeDevice{{Name: "disk", DevicePath: "/dev/x"}}
	}, notOurs + "it has volumeDevices", ""},
	"a device of a driver": {func(pod *corev1.Pod, c *corev1.Container) {
		pod.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "x", ResourceClaimName: new("x")}}
		c.Resources.Claims = []corev1.ResourceClaim{{Name: "x"}}
	}, notOurs + "it has resources.claims", ""},

	"a mount elsewhere":          {mountInSidecar(corev1.VolumeMount{Name: "scratch", MountPath: "/etc/ssl/certs", ReadOnly: true}), notOurs + "it has another mount at /etc/ssl/certs", ""},
	"a mount over the binary":    {mountInSidecar(corev1.VolumeMount{Name: "scratch", MountPath: "/sidecar", ReadOnly: true}), notOurs + "it has another mount at /sidecar", ""},
	"somebody's state":           {remount("connectors-state", func(m *corev1.VolumeMount) { m.Name = "scratch" }), notOurs + "it has another mount at /var/run/connector-proxy/state", ""},
	"somebody's credentials":     {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.Name = "scratch" }), notOurs + "it has another mount at /var/run/connector-proxy/credentials/team-a/prod", ""},
	"credentials elsewhere":      {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.MountPath = "/var/run/connector-proxy/kubeconfig/x" }), notOurs + "it has another mount at /var/run/connector-proxy/kubeconfig/x", ""},
	"credentials somewhere":      {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.MountPath = "/var/run/connector-proxy/credentials/team-a/..x" }), notOurs + "it has another mount at", ""},
	"writable credentials":       {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.ReadOnly = false }), notOurs + "it has another mount at /var/run/connector-proxy/credentials/team-a/prod", ""},
	"a part of the credentials":  {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.SubPath = "x" }), notOurs + "it has another mount at /var/run/connector-proxy/credentials/team-a/prod", ""},
	"a part named by a variable": {remount("connectors-credentials-0", func(m *corev1.VolumeMount) { m.SubPathExpr = "$(X)" }), notOurs + "it has another mount at /var/run/connector-proxy/credentials/team-a/prod", ""},
	"mounts of the node":         {remount("connectors-kubeconfig", func(m *corev1.VolumeMount) { m.MountPropagation = new(corev1.MountPropagationHostToContainer) }), notOurs + "it has another mount at /var/run/connector-proxy/kubeconfig", ""},
	"the API's token":            {remount("connectors-no-api-token", func(m *corev1.VolumeMount) { m.Name = "scratch" }), notOurs + "it has another mount at /var/run/secrets/kubernetes.io/serviceaccount", ""},

	"an init container with the token": {func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: "late", Image: "late",
			VolumeMounts: []corev1.VolumeMount{{Name: "connectors-credentials-0", MountPath: "/x", SubPath: "token"}}})
	}, "container late mounts a volume that only container connector-proxy may have", ""},
}

// arguments are those that injection does not write.
var arguments = []string{
	"--unsealed", "--unsealed=true", "-unsealed", "--credentials-dir=/x", "--state-dir=/x", "--in-cluster-dir=/x", "--drain-timeout=1h",
	"--kubeconfig=/var/run/connector-proxy/state/kubeconfig", "--kubeconfig=/var/run/connector-proxy/volumes/../state/kubeconfig",
	"--kubeconfig=/var/run/connector-proxy/volumes/$(X)/kubeconfig", "--log-level=trace", "--proxy-port=1x", "wait", "$(X)",
	"--connector=team-a/x=http://api.example.com", "--connector=https://api.example.com",
}

// variables change whom the sidecar trusts, or what it takes itself for.
var variables = []corev1.EnvVar{
	{Name: "GODEBUG", Value: "x509ignoreCN=0"}, {Name: "GOTRACEBACK", Value: "crash"}, {Name: "LD_PRELOAD", Value: "/x"},
	{Name: "SSL_CERT_FILE", Value: "/x"}, {Name: "SSL_CERT_DIR", Value: "/x"},
	{Name: "KUBERNETES_SERVICE_HOST"}, {Name: "KUBERNETES_SERVICE_HOST", Value: "$(NOTHING)"},
	{Name: "KUBERNETES_SERVICE_HOST", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['x']"}}},
}

// intact are changes of an injected Pod after which it may have the token.
var intact = map[string]func(pod *corev1.Pod, sidecar *corev1.Container){
	"another sidecar first": func(pod *corev1.Pod, _ *corev1.Container) { first(pod, sidecarOf("mesh")) },
	"more environment": func(_ *corev1.Pod, c *corev1.Container) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "CLUSTER", Value: "home"},
			corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy.example.com"}, corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: "192.0.2.1"})
	},
	"no annotations": func(pod *corev1.Pod, _ *corev1.Container) { pod.Annotations, pod.Labels = nil, nil },
	"all settings": func(_ *corev1.Pod, c *corev1.Container) {
		c.Args = append(c.Args, "--kubeconfig-mode=localhost", "--log-level=debug", "--proxy-port=18000", "--localhost-port=18001",
			"--in-cluster-port=18002", "--metrics-port=17446")
	},
	"other resources": func(_ *corev1.Pod, c *corev1.Container) {
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}
	},
	"a hardened sidecar": security(func(s *corev1.SecurityContext) { s.SELinuxOptions = &corev1.SELinuxOptions{Level: "s0"} }),
	"another container": func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late", Image: "late"})
	},
}

func hook(command ...string) func(*corev1.Pod, *corev1.Container) {
	return func(_ *corev1.Pod, c *corev1.Container) { c.Lifecycle.PostStart.Exec.Command = command }
}

func mountInSidecar(m corev1.VolumeMount) func(*corev1.Pod, *corev1.Container) {
	return func(pod *corev1.Pod, c *corev1.Container) {
		addScratch(pod)
		c.VolumeMounts = append(c.VolumeMounts, m)
	}
}

// remount changes how the sidecar mounts a volume.
func remount(name string, change func(*corev1.VolumeMount)) func(*corev1.Pod, *corev1.Container) {
	return func(pod *corev1.Pod, c *corev1.Container) {
		addScratch(pod)
		change(&c.VolumeMounts[slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })])
	}
}

func addScratch(pod *corev1.Pod) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "scratch"})
}
