package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// withSidecarPolicy is config/policy/sidecar.yaml on an API server.
func withSidecarPolicy(t *testing.T, files ...string) *policed {
	t.Helper()
	p := newPoliced(t, append(files, sidecarPolicy)...)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		pod := golden(t, "csi", unlabelled)
		pod.Spec.InitContainers = nil
		assert.ErrorContains(c, p.dryRun(t.Context(), pod)(), noSidecar)
	}, 30*time.Second, 100*time.Millisecond)
	return p
}

func TestSidecarPolicy(t *testing.T) {
	p := withSidecarPolicy(t)
	newPod := func() *corev1.Pod { return golden(t, "csi-and-annotation", unlabelled) }
	t.Run("what injection makes", func(t *testing.T) { testInjectedPods(t, p) })
	for name, tc := range tampered {
		t.Run(name, func(t *testing.T) {
			pod := newPod()
			tc.change(pod, &pod.Spec.InitContainers[0])
			told := p.refusal(t, pod)
			assert.True(t, strings.HasPrefix(told, tc.want), "wanted: %s\ntold: %s", tc.want, told)
			ends := tc.ends
			if ends == "" {
				ends = leaveIt
			}
			assert.True(t, strings.HasSuffix(told, ends), told)
		})
	}
	for name, change := range intact {
		t.Run(name, func(t *testing.T) {
			pod := newPod()
			change(pod, &pod.Spec.InitContainers[0])
			assert.Empty(t, p.refusal(t, pod))
		})
	}
	for _, argument := range arguments {
		t.Run("argument "+argument, func(t *testing.T) {
			pod := newPod()
			pod.Spec.InitContainers[0].Args = append(pod.Spec.InitContainers[0].Args, argument)
			assert.Equal(t, notOurs+"it has the argument "+argument+leaveIt, p.refusal(t, pod))
		})
	}
	for _, variable := range variables {
		t.Run("variable "+variable.Name, func(t *testing.T) {
			pod := newPod()
			pod.Spec.InitContainers[0].Env = append(pod.Spec.InitContainers[0].Env, variable)
			assert.Equal(t, notOurs+"its environment has "+variable.Name+", which could change whom it trusts"+leaveIt, p.refusal(t, pod))
		})
	}
	t.Run("variables of a ConfigMap", func(t *testing.T) {
		pod := newPod()
		pod.Spec.InitContainers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}}}
		assert.Contains(t, p.refusal(t, pod), "its environment has envFrom, ")
	})
	t.Run("what it reads comes from somewhere else", func(t *testing.T) {
		pod := newPod()
		for i := range pod.Spec.Volumes {
			if volume := &pod.Spec.Volumes[i]; volume.Name == "connectors-credentials-0" {
				volume.VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "links"}}
			}
		}
		assert.Equal(t, "volume connectors-credentials-0 is no projected volume, as injection makes it"+leaveIt, p.refusal(t, pod))
	})
	t.Run("no token, no matter", func(t *testing.T) {
		pod := workloads(unlabelled, nil, nil)["Pod"].(*corev1.Pod)
		pod.Spec.InitContainers = []corev1.Container{{Name: "connector-proxy", Image: "somebody's"}}
		assert.Empty(t, p.refusal(t, pod))
	})
	t.Run("the largest Pod", func(t *testing.T) {
		// It is refused if that costs the API server more than it has for a policy.
		pod := largePod(t)
		assert.Empty(t, p.refusal(t, pod))
		last := &pod.Spec.Containers[len(pod.Spec.Containers)-1]
		last.VolumeMounts = append(last.VolumeMounts, corev1.VolumeMount{Name: "connectors-state", MountPath: "/x"})
		assert.Contains(t, p.refusal(t, pod), "container app-129 mounts a volume that only container connector-proxy may have")
	})
	t.Run("later", func(t *testing.T) { testLaterChanges(t, p) })
}

// A Pod that is there already.
func testLaterChanges(t *testing.T, p *policed) {
	t.Helper()
	change := func(pod *corev1.Pod, change func(*corev1.Pod)) func() error {
		pod = pod.DeepCopy()
		change(pod)
		return func() error { return p.Update(t.Context(), pod, client.DryRunAll) }
	}
	setImage := func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Image = "evil.example.com/sidecar:v1" }
	pod := p.create(t, golden(t, "csi-and-annotation", unlabelled))
	require.ErrorContains(t, change(pod, setImage)(), notOurs+"it has the image evil.example.com/sidecar:v1")
	require.NoError(t, change(pod, func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "newer" })())
	require.NoError(t, change(pod, func(pod *corev1.Pod) { pod.Labels = map[string]string{"a": "b"} })())

	ephemeral := func(pod *corev1.Pod, c corev1.EphemeralContainer) error {
		pod = pod.DeepCopy()
		c.Name, c.Image = "debugger", "debugger"
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, c)
		return p.SubResource("ephemeralcontainers").Update(t.Context(), pod, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}})
	}
	withMount := func(name string) corev1.EphemeralContainer {
		return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			VolumeMounts: []corev1.VolumeMount{{Name: name, MountPath: "/x", ReadOnly: true}},
		}}
	}
	require.NoError(t, ephemeral(pod, corev1.EphemeralContainer{TargetContainerName: "main"}))
	require.NoError(t, ephemeral(pod, withMount("connectors-kubeconfig")))
	require.ErrorContains(t, ephemeral(pod, corev1.EphemeralContainer{TargetContainerName: "connector-proxy"}),
		"container debugger would see the processes of container connector-proxy, which holds the tokens of Connectors; debug another container: kubectl debug --target=NAME")
	for _, name := range []string{"connectors-state", "connectors-credentials-0", "connectors-credentials-1"} {
		require.ErrorContains(t, ephemeral(pod, withMount(name)), "container debugger mounts a volume that only container connector-proxy may have")
	}
	resized := pod.DeepCopy()
	resized.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	require.NoError(t, p.SubResource("resize").Update(t.Context(), resized, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}}))

	// One that was made before this policy, or by another version.
	exempt := p.namespace(t, "policy-sidecar-exempt", map[string]string{"connectors.alauda.io/policy": "exempt"})
	old := golden(t, "csi-and-annotation", exempt)
	old.Spec.InitContainers[0].Image = "older"
	old.Spec.InitContainers[0].Args = append(old.Spec.InitContainers[0].Args, "--older")
	old = p.create(t, old)
	open := golden(t, "csi", exempt)
	open.Spec.ShareProcessNamespace = new(true)
	open = p.create(t, open)
	p.label(t, exempt, nil)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, change(old, setImage)(), notOurs+"it has the image evil.example.com/sidecar:v1")
	}, 30*time.Second, 100*time.Millisecond)
	require.NoError(t, change(old, func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/x"} })())
	require.NoError(t, change(old, func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "newer" })())
	require.ErrorContains(t, change(open, func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "newer" })(), "the Pod has shareProcessNamespace")
	require.NoError(t, change(open, func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/x"} })(), "it must not hang in its end")
	require.Error(t, ephemeral(old, corev1.EphemeralContainer{TargetContainerName: "connector-proxy"}))
}

// Namespaces and users that the policies do not hold for.
func TestExemptions(t *testing.T) {
	p := newPoliced(t, sidecarPolicy, execPolicy, connectorPolicy, bindingPolicy)
	exempt := p.namespace(t, "policy-exempt", map[string]string{"connectors.alauda.io/policy": "exempt"})
	pod := golden(t, "csi", unlabelled)
	pod.Spec.InitContainers[0].Image = "another"
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, p.dryRun(t.Context(), pod)(), "it has the image another")
		assert.ErrorContains(c, p.exec(t, unlabelled, "exec", "connector-proxy"), "holds the tokens")
	}, 30*time.Second, 100*time.Millisecond)
	pod.Namespace = exempt
	assert.Empty(t, p.refusal(t, pod))
	assert.NotContains(t, p.exec(t, exempt, "exec", "connector-proxy").Error(), "holds the tokens")
	p.label(t, exempt, map[string]string{"connectors.alauda.io/policy": "Exempt"})
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, p.dryRun(t.Context(), pod)(), "it has the image another", "only the one value counts")
	}, 30*time.Second, 100*time.Millisecond)

	for _, user := range []string{"anna", "ben"} {
		p.bind(t, exempt, user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}, rbacv1.Subject{Kind: "User", Name: user})
	}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	require.NoError(t, p.Get(t.Context(), client.ObjectKey{Name: "sidecar.connectors.alauda.io"}, policy))
	policy.Spec.MatchConditions[0].Expression = "!(request.userInfo.username in ['anna'])"
	require.NoError(t, p.Update(t.Context(), policy))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.NoError(c, p.as(t, "anna").Create(t.Context(), pod.DeepCopy(), client.DryRunAll))
		assert.ErrorContains(c, p.as(t, "ben").Create(t.Context(), pod.DeepCopy(), client.DryRunAll), "it has the image another")
	}, 30*time.Second, 100*time.Millisecond)
}

// Every policy that refuses has the two ways out, and in the same place, so that
// one patch fits them all.
func TestEveryPolicyCanBeLeft(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(policies, "*.yaml"))
	require.NoError(t, err)
	refusing := 0
	for _, file := range files {
		objects := decode(t, file)
		if len(objects) != 2 || filepath.Base(file) == finalState {
			continue
		}
		policy, binding := objects[0].Object, objects[1].Object
		actions := binding["spec"].(map[string]any)["validationActions"].([]any)
		if actions[0] != "Deny" {
			continue
		}
		refusing++
		conditions := policy["spec"].(map[string]any)["matchConditions"].([]any)
		assert.Equal(t, map[string]any{"name": "is-not-exempt", "expression": "!(request.userInfo.username in [])"}, conditions[0], file)
		assert.Equal(t, map[string]any{"namespaceSelector": map[string]any{"matchExpressions": []any{
			map[string]any{"key": "connectors.alauda.io/policy", "operator": "NotIn", "values": []any{"exempt"}},
		}}}, binding["spec"].(map[string]any)["matchResources"], file)
		assert.Equal(t, "Fail", policy["spec"].(map[string]any)["failurePolicy"], file)
	}
	assert.Equal(t, 5, refusing)
}

// What may hold a token is what the webhook injects.
func TestPinnedImageIsTheInjectedOne(t *testing.T) {
	pin := func(file string) string {
		content, err := os.ReadFile(filepath.Join(policies, file))
		require.NoError(t, err)
		return regexp.MustCompile(`kube-connector\.invalid/sidecar:[^' \n]+`).FindString(string(content))
	}
	require.NotEmpty(t, pin(sidecarPolicy))
	assert.Equal(t, pin("../webhook/kustomization.yaml"), pin(sidecarPolicy))
}
