package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// injected is a Pod after its first admission.
func injected(t *testing.T) (*corev1.Pod, []*v1alpha1.Connector) {
	t.Helper()
	raw, connectors := readInput(t, "testdata/job.in.yaml")
	result, err := plan(raw, connectors)
	require.NoError(t, err)
	pod := &corev1.Pod{}
	require.NoError(t, json.Unmarshal(apply(t, raw, result.Patch), pod))
	return pod, connectors
}

// What the API server and other webhooks do to a Pod between two admissions of
// it, and what the store does to one that is read and created again.
func TestKeepsAnIntactSidecar(t *testing.T) {
	for name, change := range map[string]func(pod *corev1.Pod, sidecar *corev1.Container){
		"defaults": func(_ *corev1.Pod, c *corev1.Container) {
			c.TerminationMessagePath = corev1.TerminationMessagePathDefault
			c.Lifecycle.PostStart.Exec.Command = []string{"/sidecar", "wait"}
		},
		"an empty list stored as none": func(pod *corev1.Pod, _ *corev1.Container) {
			for i := range pod.Spec.Volumes {
				if p := pod.Spec.Volumes[i].Projected; p != nil && len(p.Sources) == 0 {
					p.Sources = nil
				}
			}
		},
		"hardened by another webhook": func(_ *corev1.Pod, c *corev1.Container) {
			no, mount := false, corev1.DefaultProcMount
			c.SecurityContext.Privileged, c.SecurityContext.ProcMount = &no, &mount
			c.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Level: "s0"}
			c.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
		},
		"variables of another webhook": func(_ *corev1.Pod, c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "CLUSTER_NAME", Value: "home"})
		},
		"another init container before it": func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.InitContainers = append([]corev1.Container{{
				Name:         "mesh",
				Env:          []corev1.EnvVar{{Name: "KUBECONFIG", Value: "x"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "connectors-kubeconfig", MountPath: "/var/run/connectors.alauda.io", ReadOnly: true}},
			}}, pod.Spec.InitContainers...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod, connectors := injected(t)
			change(pod, &pod.Spec.InitContainers[0])
			result, err := inject.Plan(pod, connectors, options)
			require.NoError(t, err)
			assert.Empty(t, result.Patch)
			assert.Empty(t, result.Warnings)
		})
	}
	t.Run("of an older image, with a warning", func(t *testing.T) {
		pod, connectors := injected(t)
		pod.Spec.InitContainers[0].Image = "kube-connector/sidecar:old"
		result, err := inject.Plan(pod, connectors, options)
		require.NoError(t, err)
		assert.Empty(t, result.Patch)
		assert.Contains(t, result.Warnings[0], "kube-connector/sidecar:old")
	})
}

func TestRefusesASidecarThatWasChanged(t *testing.T) {
	yes, user := true, int64(0)
	for want, change := range map[string]func(c *corev1.Container){
		"a restartPolicy": func(c *corev1.Container) { c.RestartPolicy = nil },
		"a command":       func(c *corev1.Container) { c.Command = []string{"/evil"} },
		"args":            func(c *corev1.Container) { c.Args[1] = "--connector=team-a/k8s-connector=https://evil.example.com" },
		"a workingDir":    func(c *corev1.Container) { c.WorkingDir = "/x" },
		"a lifecycle":     func(c *corev1.Container) { c.Lifecycle.PreStop = c.Lifecycle.PostStart },
		"a probe":         func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} },
		"other mounts": func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/sidecar"})
		},
		"no mount at":                func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "x" },
		"envFrom":                    func(c *corev1.Container) { c.EnvFrom = []corev1.EnvFromSource{{}} },
		"the variable GODEBUG":       func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "GODEBUG", Value: "x509sha1=1"}) },
		"the variable GOMEMLIMIT":    func(c *corev1.Container) { c.Env[0].Value = "1TiB" },
		"no securityContext":         func(c *corev1.Container) { c.SecurityContext = nil },
		"privileged":                 func(c *corev1.Container) { c.SecurityContext.Privileged = &yes },
		"allowPrivilegeEscalation":   func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil },
		"a writable root filesystem": func(c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = nil },
		"another user":               func(c *corev1.Container) { c.SecurityContext.RunAsUser = &user },
		"capabilities":               func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"SYS_PTRACE"} },
		"no seccompProfile":          func(c *corev1.Container) { c.SecurityContext.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined },
		"a procMount": func(c *corev1.Container) {
			unmasked := corev1.UnmaskedProcMount
			c.SecurityContext.ProcMount = &unmasked
		},
	} {
		t.Run(want, func(t *testing.T) {
			pod, connectors := injected(t)
			change(&pod.Spec.InitContainers[0])
			_, err := inject.Plan(pod, connectors, options)
			require.ErrorContains(t, err, `"connector-proxy" with `+want)
		})
	}
}
