package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// mutate makes the API server change the sidecar of Pods of a namespace after
// injection, as another webhook might, and waits until it does so.
func mutate(t *testing.T, namespace, patch string) {
	t.Helper()
	name := namespace + ".example.com"
	equivalent := admissionregistrationv1.Equivalent
	fail, ifNeeded := admissionregistrationv1.Fail, admissionregistrationv1.IfNeededReinvocationPolicy
	create(t, home, &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: ifNeeded,
			MatchConstraints: &admissionregistrationv1.MatchResources{
				MatchPolicy:       &equivalent,
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
				ObjectSelector:    &metav1.LabelSelector{},
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				}}},
			},
			// It has to apply in the first round, before injection, to be asked
			// again after it.
			Mutations: []admissionregistrationv1.Mutation{
				{PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{Expression: `
					has(object.metadata.labels) && "seen" in object.metadata.labels ? [] :
					[JSONPatch{op: "add", path: "/metadata/labels", value: {"seen": "yes"}}]`}},
				{PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{Expression: `
					!has(object.spec.initContainers) ? [] : [` + patch + `]`}},
			},
		},
	})
	create(t, home, &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	})
	eventually(t, func() bool {
		pod := sleeper(namespace)
		pod.Annotations = nil
		require.NoError(t, home.Create(t.Context(), pod, client.DryRunAll))
		return pod.Labels["seen"] != ""
	}, "the policy does nothing")
}

// TestAnotherMutator: when another changes an injected Pod, injection looks at it
// again, and finds what it has done: it adds nothing twice, keeps what does no
// harm, and refuses what changes the sidecar. The csi volume is gone by then.
func TestAnotherMutator(t *testing.T) {
	t.Parallel()
	asking := map[string]func(namespace string) *corev1.Pod{
		"csi": func(namespace string) *corev1.Pod {
			pod := sleeper(namespace)
			pod.Annotations = nil
			pod.Spec.Volumes = []corev1.Volume{csiVolume("kube", "k8s-connector")}
			return pod
		},
		"annotation": sleeper,
	}
	labels := map[string]map[string]string{
		"csi": nil, "annotation": {v1alpha1.LabelInjection: v1alpha1.InjectionEnabled},
	}
	for form, newPod := range asking {
		t.Run(form, func(t *testing.T) {
			harmless, harmful := makeNamespace(t, home, labels[form]), makeNamespace(t, home, labels[form])
			for _, namespace := range []string{harmless, harmful} {
				create(t, home, connectorObject(namespace, clusters.Target.Address))
			}
			mutate(t, harmless, `JSONPatch{op: "add", path: "/spec/initContainers/0/env/-", value: {"name": "CLUSTER", "value": "home"}}`)
			mutate(t, harmful, `JSONPatch{op: "add", path: "/spec/initContainers/0/args/-", value: "--unsealed"}`)

			pod := newPod(harmless)
			require.NoError(t, home.Create(t.Context(), pod, client.DryRunAll))
			require.Len(t, pod.Spec.InitContainers, 1)
			assert.Contains(t, pod.Spec.InitContainers[0].Env, corev1.EnvVar{Name: "CLUSTER", Value: "home"})

			err := home.Create(t.Context(), newPod(harmful), client.DryRunAll)
			require.Error(t, err, "injection did not look again")
			assert.True(t, apierrors.IsForbidden(err), err.Error())
			assert.Contains(t, err.Error(), `"connector-proxy" with args that injection did not give it`)
		})
	}
}
