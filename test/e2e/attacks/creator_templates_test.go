package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_templates", actor: creator, outcome: prevented,
	tries: "has controllers make the Pod: a Deployment, a StatefulSet, a DaemonSet, a Job",
	what:  "whoever makes it, the Pod is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, append([]rbacv1.PolicyRule{may("apps", "deployments,statefulsets,daemonsets", "*"), may("batch", "jobs", "*")}, createsPods...))
		labels := map[string]string{"app": "thief"}
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: s.plain().Spec}
		template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: theSecret}}}}
		once := *template.DeepCopy()
		once.Spec.RestartPolicy = corev1.RestartPolicyNever
		named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: s.namespace} }
		selector := &metav1.LabelSelector{MatchLabels: labels}
		makers := []client.Object{
			&appsv1.Deployment{ObjectMeta: named("thief-deployment"), Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
			&appsv1.StatefulSet{ObjectMeta: named("thief-statefulset"), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
			&appsv1.DaemonSet{ObjectMeta: named("thief-daemonset"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
			&batchv1.Job{ObjectMeta: named("thief-job"), Spec: batchv1.JobSpec{Template: once}},
		}
		for _, maker := range makers {
			require.NoError(t, s.creates(t, mallory, maker))
			var said struct{ message string }
			bed.Eventually(t, func() bool {
				var events corev1.EventList
				require.NoError(t, bed.Home.List(t.Context(), &events, client.InNamespace(s.namespace)))
				for _, event := range events.Items {
					if event.Reason == "FailedCreate" && strings.HasPrefix(event.InvolvedObject.Name, maker.GetName()) {
						said.message = event.Message
					}
				}
				return strings.Contains(said.message, "denied request")
			}, "%s is not told that its Pod is refused, but %v", maker.GetName(), &said)
			s.sees(said.message)
		}
	},
})
