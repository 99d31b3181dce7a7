package v1alpha1_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	// credentialed is a namespace with Connectors; the Secret of one is theSecret.
	credentialed = "policy-credentialed"
	theSecret    = "k8s-secret"
	// onlyProxy is what every refusal says.
	onlyProxy = " Secret k8s-secret of Connector k8s, which only container connector-proxy may have; remove that, " +
		"name the Connector in the annotation connectors.alauda.io/connectors of the Pod, and use the kubeconfig that it gets"
)

// connectorOf makes a Connector of namespace credentialed that names a Secret, for
// the time of a test.
func (p *policed) connectorOf(t *testing.T, name, secret string) {
	t.Helper()
	c := valid()
	c.Name, c.Namespace, c.Spec.Auth.SecretRef.Name = name, credentialed, secret
	require.NoError(t, p.Create(t.Context(), c))
	t.Cleanup(func() { assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), c)) })
}

// withCredentialPolicy is config/policy/credentials.yaml on an API server, and
// namespace credentialed with its Connectors.
func withCredentialPolicy(t *testing.T, files ...string) *policed {
	t.Helper()
	p := newPoliced(t, append(files, credentialPolicy)...)
	p.namespace(t, credentialed, nil)
	p.connectorOf(t, "k8s", theSecret)
	none := valid()
	none.Name, none.Namespace, none.Spec.Auth = "no-auth", credentialed, nil
	require.NoError(t, p.Create(t.Context(), none))
	t.Cleanup(func() { assert.NoError(t, p.Delete(context.WithoutCancel(t.Context()), none)) })
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		pod := plainPod()
		uses["a secret volume"](pod)
		assert.ErrorContains(c, p.dryRun(t.Context(), pod)(), onlyProxy)
	}, 30*time.Second, 100*time.Millisecond)
	return p
}

func plainPod() *corev1.Pod {
	pod := workloads(credentialed, nil, nil)["Pod"].(*corev1.Pod)
	pod.Spec.ServiceAccountName = "default" // nobody here would set it
	return pod
}

var reference = corev1.LocalObjectReference{Name: theSecret}

// uses are the ways in which a Pod can have a Secret; refused is what follows of
// who has it.
var uses = map[string]func(*corev1.Pod){
	"a secret volume":      secretVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: theSecret}}),
	"an optional volume":   secretVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: theSecret, Optional: new(true)}}),
	"one key of it":        secretVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: theSecret, Items: []corev1.KeyToPath{{Key: "token", Path: "x"}}}}),
	"a projected volume":   secretVolume(projected(secretProjection())),
	"one of more sources":  secretVolume(projected(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}, secretProjection())),
	"a CSI driver":         secretVolume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", NodePublishSecretRef: &reference}}),
	"our CSI driver":       secretVolume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: v1alpha1.CSIDriver, NodePublishSecretRef: &reference}}),
	"a CSI attribute":      secretVolume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "file.csi.azure.com", VolumeAttributes: map[string]string{"a": "b", "secretName": theSecret}}}),
	"azureFile":            secretVolume(corev1.VolumeSource{AzureFile: &corev1.AzureFileVolumeSource{SecretName: theSecret, ShareName: "x"}}),
	"cephfs":               secretVolume(corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{Monitors: []string{"x"}, SecretRef: &reference}}),
	"flexVolume":           secretVolume(corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: "a/b", SecretRef: &reference}}),
	"iscsi":                secretVolume(corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{TargetPortal: "192.0.2.1", IQN: "iqn.2001-04.com.example:x", SessionCHAPAuth: true, SecretRef: &reference}}),
	"rbd":                  secretVolume(corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{CephMonitors: []string{"x"}, RBDImage: "x", SecretRef: &reference}}),
	"scaleIO":              secretVolume(corev1.VolumeSource{ScaleIO: &corev1.ScaleIOVolumeSource{Gateway: "x", System: "x", VolumeName: "x", SecretRef: &reference}}),
	"storageos":            secretVolume(corev1.VolumeSource{StorageOS: &corev1.StorageOSVolumeSource{VolumeName: "x", VolumeNamespace: "x", SecretRef: &reference}}),
	"a volume of our name": named("connectors-credentials-0", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: theSecret}}),
	"the token as a file of another name": named("connectors-credentials-0", projected(corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: reference, Items: []corev1.KeyToPath{{Key: "token", Path: "address"}}}})),
	"more of the Secret": named("connectors-credentials-0", projected(corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: reference, Items: []corev1.KeyToPath{{Key: "token", Path: "token"}, {Key: "x", Path: "x"}}}})),
	"all of the Secret": named("connectors-credentials-0", projected(secretProjection())),
	"a whole ConfigMap beside it": named("connectors-credentials-0", projected(tokenProjection(),
		corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference}})),
	"a token of the API beside it": named("connectors-credentials-0", projected(tokenProjection(),
		corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}})),

	"env":     func(pod *corev1.Pod) { pod.Spec.Containers[0].Env = secretEnv() },
	"envFrom": func(pod *corev1.Pod) { pod.Spec.Containers[0].EnvFrom = secretEnvFrom() },
	"env of an init container": func(pod *corev1.Pod) {
		pod.Spec.InitContainers = []corev1.Container{{Name: "app-init", Image: "x", Env: secretEnv()}}
	},
	"envFrom of an init container": func(pod *corev1.Pod) {
		pod.Spec.InitContainers = []corev1.Container{{Name: "app-init", Image: "x", EnvFrom: secretEnvFrom()}}
	},
	"env of a sidecar of our name": func(pod *corev1.Pod) {
		pod.Spec.InitContainers = []corev1.Container{{Name: "connector-proxy", Image: "x", Env: secretEnv()}}
	},
}

func secretVolume(source corev1.VolumeSource) func(*corev1.Pod) { return named("app-volume", source) }

func named(name string, source corev1.VolumeSource) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	}
}

func projected(sources ...corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
}

func secretProjection() corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: reference}}
}

func tokenProjection() corev1.VolumeProjection {
	p := secretProjection()
	p.Secret.Items = []corev1.KeyToPath{{Key: "token", Path: "token"}}
	return p
}

func secretEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: reference, Key: "token"}}}}
}

func secretEnvFrom() []corev1.EnvFromSource {
	return []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: reference}}}
}

func TestCredentialPolicy(t *testing.T) {
	p := withCredentialPolicy(t)
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			use(pod)
			told := p.refusal(t, pod)
			assert.True(t, strings.HasSuffix(told, onlyProxy), told)
			who := "container app"
			if len(pod.Spec.Volumes) > 0 {
				who = "volume " + pod.Spec.Volumes[0].Name
			} else if len(pod.Spec.InitContainers) > 0 {
				who = "container " + pod.Spec.InitContainers[0].Name
			}
			assert.True(t, strings.HasPrefix(told, who+" has"), told)
			// With another Secret it is nobody's business, nor in another namespace.
			pod.Namespace = unlabelled
			assert.Empty(t, p.refusal(t, pod))
		})
	}
	t.Run("other Secrets", func(t *testing.T) {
		pod := plainPod()
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
		secretVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "other"}})(pod)
		named("store", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", VolumeAttributes: map[string]string{"a": "b"}}})(pod)
		named("ours", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: v1alpha1.CSIDriver, VolumeAttributes: map[string]string{"connector.name": theSecret}}})(pod)
		named("nothing", projected())(pod)
		named("config", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference}})(pod)
		pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "NAME", Value: theSecret}}
		assert.Empty(t, p.refusal(t, pod))
	})
	t.Run("largest Pods", func(t *testing.T) {
		// They are refused if that costs the API server more than it has for a policy.
		assert.Empty(t, p.refusal(t, inNamespace(largePod(t))))
		pod := plainPod()
		app := pod.Spec.Containers[0]
		for i := range 80 {
			app.Env = append(app.Env, corev1.EnvVar{Name: fmt.Sprintf("NAME_%d", i), ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}, Key: "k"}}})
		}
		for i := range 250 {
			app.Name = fmt.Sprintf("app-%d", i)
			pod.Spec.Containers = append(pod.Spec.Containers, app)
			named(fmt.Sprintf("volume-%d", i), projected(corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference}}))(pod)
		}
		assert.Empty(t, p.refusal(t, pod))
		last := &pod.Spec.Containers[len(pod.Spec.Containers)-1]
		last.EnvFrom = secretEnvFrom()
		assert.Contains(t, p.refusal(t, pod), "container app-249 has in its environment")
	})
	t.Run("later", func(t *testing.T) {
		pod := p.create(t, plainPod())
		for name, env := range map[string]corev1.EphemeralContainerCommon{"env": {Env: secretEnv()}, "envFrom": {EnvFrom: secretEnvFrom()}} {
			changed := pod.DeepCopy()
			env.Name, env.Image = "debugger", "debugger"
			changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: env}}
			err := p.SubResource("ephemeralcontainers").Update(t.Context(), changed,
				&client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}})
			require.ErrorContains(t, err, "container debugger has in its environment"+onlyProxy, name)
		}
	})
	t.Run("before the Connector", func(t *testing.T) {
		pod := plainPod()
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "later"}}}}
		pod = p.create(t, pod)
		p.connectorOf(t, "later", "later")
		update := func(change func(*corev1.Pod)) error {
			changed := pod.DeepCopy()
			change(changed)
			return p.Update(t.Context(), changed, client.DryRunAll)
		}
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			assert.ErrorContains(c, update(func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "evil" }), "Secret later of Connector later")
		}, 30*time.Second, 100*time.Millisecond)
		require.NoError(t, update(func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/x"} }), "it must not hang in its end")
	})
}

func inNamespace(pod *corev1.Pod) *corev1.Pod {
	pod.Namespace = credentialed
	return pod
}

// Whatever injection makes passes all policies together, with the Connectors there
// that it was made for.
func TestInjectedPodsPassAllPolicies(t *testing.T) {
	p := withCredentialPolicy(t, sidecarPolicy, finalState)
	files, err := filepath.Glob(goldens + "*.golden.yaml")
	require.NoError(t, err)
	secrets := map[string]bool{}
	var pods []*corev1.Pod
	for _, file := range files {
		pod := golden(t, strings.TrimSuffix(filepath.Base(file), ".golden.yaml"), credentialed)
		if pod.Annotations[v1alpha1.AnnotationStatus] == "" {
			continue
		}
		pod.Spec.EphemeralContainers, pod.Spec.RuntimeClassName, pod.Spec.Overhead = nil, nil, nil
		pods = append(pods, pod)
		for _, v := range pod.Spec.Volumes {
			if strings.HasPrefix(v.Name, "connectors-credentials-") {
				secrets[v.Projected.Sources[0].Secret.Name] = true
			}
		}
	}
	assert.Greater(t, len(pods), 40)
	for secret := range secrets {
		p.connectorOf(t, "of-"+strings.ReplaceAll(secret, ".", "-"), secret)
		p.connectorOf(t, "too-"+strings.ReplaceAll(secret, ".", "-"), secret)
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			pod := plainPod()
			secretVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}})(pod)
			assert.ErrorContains(c, p.dryRun(t.Context(), pod)(), "Secret "+secret+" of Connector")
		}, 30*time.Second, 100*time.Millisecond)
	}
	for _, pod := range pods {
		assert.Empty(t, p.refusal(t, pod), pod.Name)
	}
}
