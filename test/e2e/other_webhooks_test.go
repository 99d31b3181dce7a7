package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/cluster"
)

const sidecarName = "connector-proxy"

// mutator is what a webhook of somebody else does to a Pod.
type mutator func(pod *corev1.Pod)

// otherWebhooks has the API server call webhooks of somebody else for the Pods of
// a namespace, in this order and after ours. As is usual, each is asked again when
// one after it has changed the Pod.
func otherWebhooks(t *testing.T, namespace string, mutators ...mutator) {
	t.Helper()
	certificate, ca := testkit.Certificate(t, "webhook", time.Now().Add(time.Hour), net.ParseIP(clusters.MachineIP()))
	listener, err := net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), "0"))
	require.NoError(t, err)
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)

	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "z-" + namespace}}
	for i, mutate := range mutators {
		path := fmt.Sprintf("/%d", i)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { review(w, r, mutate) })
		url := server.URL + path
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name:              fmt.Sprintf("n%d.example.com", i),
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: []byte(ca)},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
			AdmissionReviewVersions: []string{"v1"},
		})
	}
	create(t, home, configuration)
}

// review answers as many webhooks do: with the whole of what they have read.
func review(w http.ResponseWriter, r *http.Request, mutate mutator) {
	var in admissionv1.AdmissionReview
	var pod corev1.Pod
	if json.NewDecoder(r.Body).Decode(&in) != nil || json.Unmarshal(in.Request.Object.Raw, &pod) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	mutate(&pod)
	patch, _ := json.Marshal([]map[string]any{
		{"op": "add", "path": "/metadata/labels", "value": pod.Labels},
		{"op": "replace", "path": "/spec", "value": pod.Spec},
	})
	out := admissionv1.AdmissionReview{TypeMeta: in.TypeMeta, Response: &admissionv1.AdmissionResponse{
		UID: in.Request.UID, Allowed: true, Patch: patch, PatchType: new(admissionv1.PatchTypeJSONPatch),
	}}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// sidecarOf is the sidecar in a Pod as it is on its way, if it is there already.
func sidecarOf(pod *corev1.Pod) *corev1.Container {
	if i := slices.IndexFunc(pod.Spec.InitContainers, isSidecar); i >= 0 {
		return &pod.Spec.InitContainers[i]
	}
	return &corev1.Container{}
}

func isSidecar(c corev1.Container) bool { return c.Name == sidecarName }

// toolbox is a container for a Pod of these tests.
func toolbox(name string, command ...string) corev1.Container {
	return corev1.Container{Name: name, Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever, Command: command}
}

func nativeSidecar(name string) corev1.Container {
	c := toolbox(name, "sleep", "3600")
	c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	return c
}

// addFirst puts containers before all init containers, once, as meshes do.
func addFirst(containers ...corev1.Container) mutator {
	return func(pod *corev1.Pod) {
		if !slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == containers[0].Name }) {
			pod.Spec.InitContainers = slices.Concat(containers, pod.Spec.InitContainers)
		}
	}
}

// sidecarLast changes the order of the init containers.
func sidecarLast(pod *corev1.Pod) {
	if i := slices.IndexFunc(pod.Spec.InitContainers, isSidecar); i >= 0 {
		sidecar := pod.Spec.InitContainers[i]
		pod.Spec.InitContainers = append(slices.Delete(pod.Spec.InitContainers, i, i+1), sidecar)
	}
}

// preparing is a Pod whose init container and whose container need the cluster.
func preparing(namespace string) *corev1.Pod {
	pod := sleeper(namespace)
	pod.Spec.InitContainers = []corev1.Container{toolbox("prepare", "kubectl", "auth", "whoami")}
	return pod
}

// TestOtherWebhooksAndWorkingPods: whatever other webhooks put before the sidecar,
// the Pod works.
func TestOtherWebhooksAndWorkingPods(t *testing.T) {
	t.Parallel()
	token := newIdentity(t, target, "view").Token(t)
	for name, tc := range map[string]struct {
		mutate mutator
		pod    func(namespace string) *corev1.Pod
		order  []string
	}{
		"a sidecar of its own, first": {addFirst(nativeSidecar("mesh")), preparing, []string{"mesh", sidecarName, "prepare"}},
		"an init container, too":      {addFirst(toolbox("mesh-init", "true"), nativeSidecar("mesh")), preparing, []string{"mesh-init", "mesh", sidecarName, "prepare"}},
		"another order of sidecars": {sidecarLast, func(namespace string) *corev1.Pod {
			pod := sleeper(namespace)
			pod.Spec.InitContainers = []corev1.Container{nativeSidecar("agent")}
			return pod
		}, []string{"agent", sidecarName}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, token)
			otherWebhooks(t, namespace, tc.mutate)
			eventually(t, func() bool {
				pod := tc.pod(namespace)
				require.NoError(t, home.Create(t.Context(), pod, client.DryRunAll))
				return pod.Spec.InitContainers[0].Name == tc.order[0]
			}, "the other webhook does nothing")

			pod := tc.pod(namespace)
			create(t, home, pod)
			pod = awaitPod(t, pod, "running", running)
			var order []string
			for _, c := range pod.Spec.InitContainers {
				order = append(order, c.Name)
				if strings.HasPrefix(c.Name, "mesh") {
					assert.Empty(t, c.Env, "it has no use for a kubeconfig that is not there yet")
				}
			}
			assert.Equal(t, tc.order, order)
			output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
			require.NoError(t, err, output)
			assert.Contains(t, output, "system:serviceaccount:")
		})
	}
}

// TestOtherWebhooksAndBrokenPods: a Pod that another webhook has broken is not
// created, and its owner reads what is wrong.
func TestOtherWebhooksAndBrokenPods(t *testing.T) {
	t.Parallel()
	strip := func(pod *corev1.Pod) { sidecarOf(pod).RestartPolicy = nil }
	stripAll := func(pod *corev1.Pod) { sidecarOf(pod).RestartPolicy, sidecarOf(pod).Lifecycle = nil, nil }
	remove := func(pod *corev1.Pod) {
		pod.Spec.InitContainers = slices.DeleteFunc(pod.Spec.InitContainers, isSidecar)
	}
	// lastly is a webhook that does its harm only when it is asked again, because the
	// one after it has set a label: so late that nobody else is asked again.
	lastly := func(mutate mutator) []mutator {
		return []mutator{
			func(pod *corev1.Pod) {
				if pod.Labels["touched"] != "" {
					mutate(pod)
				}
			},
			func(pod *corev1.Pod) {
				if pod.Labels == nil {
					pod.Labels = map[string]string{}
				}
				pod.Labels["touched"] = "yes"
			},
		}
	}
	const changed, tampered = "another admission webhook changed container connector-proxy: …", "container connector-proxy is not as injection makes it: …"
	unmount := func(pod *corev1.Pod) {
		sidecarOf(pod).VolumeMounts = slices.DeleteFunc(sidecarOf(pod).VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "connectors-state" })
	}
	for name, tc := range map[string]struct {
		mutators []mutator
		told     string
	}{
		"another order": {
			[]mutator{sidecarLast},
			"init container … has a kubeconfig and would run before container connector-proxy, which makes it: …",
		},
		"no restartPolicy":                         {[]mutator{strip}, `the Pod has an init container "connector-proxy" with … that injection did not give it; …`},
		"no restartPolicy and no hook in the end":  {lastly(stripAll), tampered},
		"no state in the end":                      {lastly(unmount), changed},
		"no restartPolicy, but a hook, in the end": {lastly(strip), "spec.initContainers[…].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"},
		"no sidecar in the end":                    {lastly(remove), "the Pod asks for Connectors and has no init container connector-proxy: …"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			create(t, home, connectorObject(namespace, clusters.Target.Address))
			otherWebhooks(t, namespace, tc.mutators...)
			awaitSentence(t, tc.told, func() string {
				if err := home.Create(t.Context(), preparing(namespace), client.DryRunAll); err != nil {
					return err.Error()
				}
				return "created"
			})
		})
	}
}

// TestCopiesForDebugging: kubectl debug --copy-to makes a Pod without annotations.
// It is left as it is, and works; where the processes are shared, which is what
// kubectl does unless told otherwise, it is refused.
func TestCopiesForDebugging(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, label := range []string{v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways} {
		t.Run(label, func(t *testing.T) {
			namespace := s.newNamespace(map[string]string{v1alpha1.LabelInjection: label})
			in := func(stdin string, args ...string) string {
				return kubectl(t, stdin, append([]string{"-n", namespace}, args...)...)
			}
			pod := func(name string) *corev1.Pod {
				return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
			}
			in(podManifest("original", uses("good")), "apply", "-f", "-")
			awaitPod(t, pod("original"), "running", running)

			debug := []string{"debug", "original", "--container=debugger", "--image=" + cluster.ToolboxImage, "--image-pull-policy=Never"}
			awaitSentence(t, "the Pod has shareProcessNamespace, with which others could use or read container connector-proxy; …",
				func() string { return in("", append(debug, "--copy-to=shared", "--", "sleep", "3600")...) })
			copying := in("", append(debug, "--copy-to=copy", "--share-processes=false", "--", "sleep", "3600")...)
			require.NotContains(t, copying, "rror", "kubectl debug fails")
			copied := awaitPod(t, pod("copy"), "running", running)
			assert.Len(t, copied.Spec.InitContainers, 1)
			assert.Len(t, copied.Spec.Containers, 2)
			assert.NotContains(t, copied.Annotations, v1alpha1.AnnotationStatus)
			assert.NotContains(t, copied.Labels, v1alpha1.LabelInjected)
			assert.Contains(t, in("", "exec", "copy", "-c", "app", "--", "kubectl", "auth", "whoami"), "system:serviceaccount:")
		})
	}
}

// TestPoliciesAreWellTyped: the API server finds nothing wrong with their
// expressions.
func TestPoliciesAreWellTyped(t *testing.T) {
	t.Parallel()
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	eventually(t, func() bool {
		require.NoError(t, home.List(t.Context(), &policies, client.MatchingLabels{"app.kubernetes.io/part-of": "kube-connector"}))
		return !slices.ContainsFunc(policies.Items, func(p admissionregistrationv1.ValidatingAdmissionPolicy) bool {
			return p.Status.TypeChecking == nil
		})
	}, "the types are not checked")
	require.NotEmpty(t, policies.Items)
	for _, p := range policies.Items {
		assert.Empty(t, p.Status.TypeChecking.ExpressionWarnings, p.Name)
	}
}
