package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// injected is a Pod after its first admission.
func injected(t *testing.T, name string) (*corev1.Pod, *testCase) {
	t.Helper()
	c := readCase(t, "testdata/"+name+".in.yaml")
	result, err := c.plan(c.pod)
	require.NoError(t, err)
	pod := &corev1.Pod{}
	require.NoError(t, json.Unmarshal(apply(t, c.pod, result.Patch), pod))
	return pod, c
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
			c.Env = append(c.Env, corev1.EnvVar{Name: "CLUSTER_NAME", Value: "home"},
				corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: "api.example.com"})
		},
		"another init container before it": func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.InitContainers = append([]corev1.Container{{Name: "mesh"}}, pod.Spec.InitContainers...)
		},
		"one before it that has the kubeconfig": func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.InitContainers = append([]corev1.Container{{
				Name:         "mesh",
				Env:          []corev1.EnvVar{{Name: "KUBECONFIG", Value: "x"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "connectors-kubeconfig", MountPath: "/var/run/connectors.alauda.io", ReadOnly: true}},
			}}, pod.Spec.InitContainers...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod, c := injected(t, "job")
			change(pod, &pod.Spec.InitContainers[0])
			result, err := c.plan(marshal(t, pod))
			require.NoError(t, err)
			assert.Empty(t, result.Patch)
			assert.Empty(t, result.Warnings)
		})
	}
	t.Run("of an older image, with a warning", func(t *testing.T) {
		pod, c := injected(t, "job")
		pod.Spec.InitContainers[0].Image = "kube-connector/sidecar:old"
		result, err := c.plan(marshal(t, pod))
		require.NoError(t, err)
		assert.Empty(t, result.Patch)
		assert.Contains(t, result.Warnings[0], "kube-connector/sidecar:old")
	})
}

func TestRefusesASidecarThatWasChanged(t *testing.T) {
	yes, user := true, int64(0)
	for want, change := range map[string]func(c *corev1.Container){
		"another restartPolicy than Always": func(c *corev1.Container) { c.RestartPolicy = nil },
		"a command":                         func(c *corev1.Container) { c.Command = []string{"/evil"} },
		"args":                              func(c *corev1.Container) { c.Args[1] = "--connector=team-a/k8s-connector=https://evil.example.com" },
		"a workingDir":                      func(c *corev1.Container) { c.WorkingDir = "/x" },
		"a lifecycle":                       func(c *corev1.Container) { c.Lifecycle.PreStop = c.Lifecycle.PostStart },
		"a probe":                           func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} },
		"other mounts": func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/sidecar"})
		},
		"no mount at":             func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "x" },
		"envFrom":                 func(c *corev1.Container) { c.EnvFrom = []corev1.EnvFromSource{{}} },
		"the variable GODEBUG":    func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "GODEBUG", Value: "x509sha1=1"}) },
		"the variable LD_PRELOAD": func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "LD_PRELOAD", Value: "/x"}) },
		"the variable SSL_CERT_FILE": func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "SSL_CERT_FILE", Value: "/x"})
		},
		"the variable KUBERNETES_SERVICE_HOST": func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST"})
		},
		"the variable KUBERNETES_SERVICE_HOST that": func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "NOTHING"}, corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: "$(NOTHING)"})
		},
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
			pod, c := injected(t, "job")
			change(&pod.Spec.InitContainers[0])
			_, err := c.plan(marshal(t, pod))
			require.ErrorContains(t, err, `"connector-proxy" with `+want)
		})
	}
}

// Another webhook may take the class Guaranteed from a Pod, or give it, between
// two admissions. What the sidecar has asked for then stays.
func TestKeepsASidecarWhoseNeighboursChanged(t *testing.T) {
	for _, name := range []string{"settings-guaranteed", "settings-guaranteed-small", "settings-requests-only", "settings-burstable"} {
		t.Run(name, func(t *testing.T) {
			pod, c := injected(t, name)
			result, err := c.plan(marshal(t, pod))
			require.NoError(t, err)
			require.Empty(t, result.Patch)

			unlimited, limited := pod.DeepCopy(), pod.DeepCopy()
			unlimited.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
			limited.Spec.Containers[0].Resources.Limits = corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"),
			}
			limited.Spec.Containers[0].Resources.Requests = nil
			for _, changed := range []*corev1.Pod{unlimited, limited} {
				result, err := c.plan(marshal(t, changed))
				require.NoError(t, err)
				assert.Empty(t, result.Patch)
			}
		})
	}
}

// The source of a converted volume is gone. What the sidecar's arguments say of
// it must be what injection would make, and gives nobody more than a csi volume.
func TestRefusesAConvertedVolumeThatWasChanged(t *testing.T) {
	const arg = "--kubeconfig=/var/run/connector-proxy/volumes/kubeconfig/kubeconfig="
	sidecar := func(pod *corev1.Pod) *corev1.Container { return &pod.Spec.InitContainers[0] }
	for name, test := range map[string]struct {
		want   string
		change func(pod *corev1.Pod)
	}{
		"a Connector of another namespace": {"another namespace", func(pod *corev1.Pod) {
			sidecar(pod).Args[2] = arg + "team-b/k8s-connector"
		}},
		"another Connector than is served": {"no Connector team-a/other", func(pod *corev1.Pod) {
			sidecar(pod).Args[2] = arg + "team-a/other"
		}},
		"another address": {"with args", func(pod *corev1.Pod) {
			sidecar(pod).Args[1] = "--connector=team-a/k8s-connector=https://evil.example.com"
		}},
		"another setting": {"with args", func(pod *corev1.Pod) {
			sidecar(pod).Args = append(sidecar(pod).Args, "--unsealed")
		}},
		"a volume that reaches the node": {"is not the one injected", func(pod *corev1.Pod) {
			pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
		}},
		"a mount elsewhere": {"no mount at", func(pod *corev1.Pod) {
			for i := range sidecar(pod).VolumeMounts {
				if sidecar(pod).VolumeMounts[i].Name == "kubeconfig" {
					sidecar(pod).VolumeMounts[i].MountPath = "/elsewhere"
				}
			}
		}},
		"an app that mounts the state": {"which is the sidecar's", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts,
				corev1.VolumeMount{Name: "connectors-state", MountPath: "/state"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			pod, c := injected(t, "csi")
			test.change(pod)
			_, err := c.plan(marshal(t, pod))
			require.ErrorContains(t, err, test.want)
		})
	}
	t.Run("what to do is said of the volume, too", func(t *testing.T) {
		pod, c := injected(t, "csi")
		c.connectors[0].Spec.Address = "https://192.168.1.101:6443"
		_, err := c.plan(marshal(t, pod))
		require.ErrorContains(t, err, `else remove it and make volume "kubeconfig" a csi volume of driver connectors-csi again: it is added for you`)
	})
	t.Run("a mount made writable is protected again", func(t *testing.T) {
		pod, c := injected(t, "csi")
		pod.Spec.Containers[0].VolumeMounts[0].ReadOnly = false
		result, err := c.plan(marshal(t, pod))
		require.NoError(t, err)
		require.Len(t, result.Patch, 1)
		assert.Equal(t, "/spec/containers/0/volumeMounts/0/readOnly", result.Patch[0].Path)
	})
}
