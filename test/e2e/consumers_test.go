package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// TestConsumers: a Connector says how many Pods use it, and how many of them came
// before its last change. Those that have ended do not count.
func TestConsumers(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	key := client.ObjectKey{Namespace: namespace, Name: "k8s-connector"}
	await := func(pods, outdated int32) {
		t.Helper()
		want := v1alpha1.ConnectorConsumers{Pods: pods, Outdated: outdated}
		var c v1alpha1.Connector
		eventually(t, func() bool {
			require.NoError(t, home.Get(t.Context(), key, &c))
			return c.Status.Consumers != nil && *c.Status.Consumers == want
		}, "the Connector does not say %+v; its status is %+v", want, &c.Status)
	}

	labels := map[string]string{"app": "consumer"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: asks()},
		Spec:       sleeper(namespace).Spec,
	}
	replicas := int32(3)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "consumer", Namespace: namespace},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}
	create(t, home, deployment)
	await(3, 0)

	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "ends", Namespace: namespace}, Spec: batchv1.JobSpec{Template: template}}
	job.Spec.Template.Labels = nil
	job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	job.Spec.Template.Spec.Containers = []corev1.Container{*template.Spec.Containers[0].DeepCopy()}
	job.Spec.Template.Spec.Containers[0].Command = []string{"true"}
	create(t, home, job)
	eventually(t, func() bool {
		require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(job), job))
		return job.Status.Succeeded == 1
	}, "the Job does not end")
	patch := func(object client.Object, change string) {
		t.Helper()
		require.NoError(t, home.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(change))))
	}
	patch(deployment, `{"spec":{"replicas":1}}`)
	await(1, 0) // its Pod is still there, and has ended

	patch(connectorObject(namespace, ""), `{"spec":{"address":"`+clusters.Target.Address+`/"}}`)
	await(1, 1)
	patch(deployment, `{"spec":{"replicas":2}}`)
	await(2, 1)
	patch(deployment, `{"spec":{"replicas":0}}`)
	await(0, 0)
}
