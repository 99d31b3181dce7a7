package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// sidecarPresent says whether the Pod has the sidecar already, from an earlier
// call in the same admission or from a copy of an injected Pod. One of another
// image is kept, with a warning: the webhook may just be updated.
func sidecarPresent(pod *corev1.Pod, want *corev1.Container, volumes []volume) (present bool, warning string, err error) {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == SidecarName {
			return false, "", fmt.Errorf("the Pod has a container %q of its own; rename it", SidecarName)
		}
	}
	i := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == SidecarName })
	if i < 0 {
		return false, "", nil
	}
	have := &pod.Spec.InitContainers[i]
	if difference := tampered(have, want); difference != "" {
		remedy := "remove it"
		for i := range volumes {
			// Without the sidecar's arguments, nothing says any more that it was one.
			if v := &volumes[i]; !v.csi {
				remedy += fmt.Sprintf(" and make %s a csi volume of driver %s again", v, v1alpha1.CSIDriver)
			}
		}
		return false, "", fmt.Errorf("the Pod has an init container %q with %s that injection did not give it; if another webhook changed it, exempt that container there, else %s: it is added for you", SidecarName, difference, remedy)
	}
	if have.Image != want.Image {
		warning = fmt.Sprintf("container %s has the image %s and is kept; new Pods get %s", SidecarName, have.Image, want.Image)
	}
	return true, warning, nil
}

// tampered names what makes a container something else than the sidecar wanted,
// or less safe. What other webhooks commonly add to all containers, and the API
// server fills in, is let be.
func tampered(have, want *corev1.Container) string {
	switch {
	case have.RestartPolicy == nil || *have.RestartPolicy != *want.RestartPolicy:
		return "another restartPolicy than Always"
	case len(have.Command) > 0:
		return "a command"
	case !slices.Equal(have.Args, want.Args):
		return "args"
	case have.WorkingDir != "":
		return "a workingDir"
	case have.Lifecycle == nil || have.Lifecycle.PreStop != nil ||
		!equality.Semantic.DeepEqual(have.Lifecycle.PostStart, want.Lifecycle.PostStart):
		return "a lifecycle"
	case have.LivenessProbe != nil || have.ReadinessProbe != nil || have.StartupProbe != nil:
		return "a probe, which cannot reach localhost"
	case len(have.VolumeDevices) > 0 || len(have.VolumeMounts) != len(want.VolumeMounts):
		return "other mounts"
	case len(have.EnvFrom) > 0:
		return "envFrom"
	}
	for _, mount := range want.VolumeMounts {
		if !slices.ContainsFunc(have.VolumeMounts, func(m corev1.VolumeMount) bool { return sameMount(m, mount) }) {
			return "no mount at " + mount.MountPath
		}
	}
	for _, env := range have.Env {
		// By this variable the sidecar knows that it is in a Pod, where it does not
		// run for whoever comes by exec. A reference may expand to nothing.
		if env.Name == "KUBERNETES_SERVICE_HOST" && (env.Value == "" || strings.Contains(env.Value, "$(")) {
			return "the variable " + env.Name
		}
		// These change the Go runtime or the linker, and with them how TLS is verified,
		// or whom it trusts; ours only what it takes of the machine. The policy
		// config/policy/sidecar.yaml knows the same.
		if env.Name != memoryLimitEnv && env.Name != processorsEnv &&
			slices.ContainsFunc([]string{"GO", "LD_", "SSL_CERT_"}, func(prefix string) bool { return strings.HasPrefix(env.Name, prefix) }) {
			return "the variable " + env.Name
		}
	}
	return weakened(have.SecurityContext, want.SecurityContext)
}

// weakened names what a securityContext allows that ours does not.
func weakened(have, want *corev1.SecurityContext) string {
	isFalse := func(b *bool) bool { return b != nil && !*b }
	isTrue := func(b *bool) bool { return b != nil && *b }
	switch {
	case have == nil:
		return "no securityContext"
	case isTrue(have.Privileged):
		return "privileged"
	case !isFalse(have.AllowPrivilegeEscalation):
		return "allowPrivilegeEscalation"
	case !isTrue(have.ReadOnlyRootFilesystem):
		return "a writable root filesystem"
	case !isTrue(have.RunAsNonRoot), have.RunAsUser == nil || *have.RunAsUser != *want.RunAsUser:
		return "another user"
	case have.Capabilities == nil || len(have.Capabilities.Add) > 0 || !slices.Contains(have.Capabilities.Drop, "ALL"):
		return "capabilities"
	case have.SeccompProfile == nil || have.SeccompProfile.Type == corev1.SeccompProfileTypeUnconfined:
		return "no seccompProfile"
	case have.ProcMount != nil && *have.ProcMount != corev1.DefaultProcMount:
		return "a procMount"
	}
	return ""
}
