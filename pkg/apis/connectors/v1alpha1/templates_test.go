package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podSpec is where a workload has that of its Pods.
func podSpec(object client.Object) *corev1.PodSpec {
	switch o := object.(type) {
	case *corev1.Pod:
		return &o.Spec
	case *corev1.PodTemplate:
		return &o.Template.Spec
	case *corev1.ReplicationController:
		return &o.Spec.Template.Spec
	case *appsv1.Deployment:
		return &o.Spec.Template.Spec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return &o.Spec.Template.Spec
	case *batchv1.Job:
		return &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.Spec
	}
	return nil
}

// People are warned when they write what makes Pods that will be refused.
func TestTemplatePolicy(t *testing.T) {
	p := newPoliced(t, "templates.yaml")
	p.namespace(t, credentialed, nil)
	p.connectorOf(t, "k8s", theSecret)
	changed := map[string]func(*corev1.Pod){"nothing": secretVolume(projected())}
	for _, use := range []string{"a secret volume", "a projected volume", "a CSI driver", "a volume of our name", "env", "envFrom", "env of an init container"} {
		require.Contains(t, uses, use)
		changed[use] = uses[use]
	}
	told := func(t *testing.T, kind string, change func(*corev1.Pod), set func(client.Object)) []string {
		t.Helper()
		object := workloads(credentialed, nil, nil)[kind]
		spec := podSpec(object)
		pod := &corev1.Pod{Spec: *spec}
		change(pod)
		*spec = pod.Spec
		if set != nil {
			set(object)
		}
		return p.tell(t, p.dryRun(t.Context(), object))
	}
	require.Eventually(t, func() bool {
		return len(told(t, "Job", uses["env"], nil)) == 1
	}, 30*time.Second, 100*time.Millisecond)
	for kind := range workloads(credentialed, nil, nil) {
		t.Run(kind, func(t *testing.T) {
			for use, change := range changed {
				warnings := told(t, kind, change, nil)
				if use == "nothing" || kind == "Pod" { // which is refused itself
					assert.Empty(t, warnings, use)
					continue
				}
				pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
				change(pod)
				who := "container app has in its environment"
				switch {
				case len(pod.Spec.Volumes) > 0:
					who = "volume " + pod.Spec.Volumes[0].Name + " has"
				case len(pod.Spec.InitContainers) > 0:
					who = "container app-init has in its environment"
				}
				assert.Equal(t, []string{
					"its Pods will be refused: " + who + " Secret k8s-secret of Connector k8s, which only container connector-proxy may have; " +
						"name the Connector in the annotation connectors.alauda.io/connectors of the template, and use the kubeconfig",
				}, warnings, use)
			}
			yes := true
			owned := func(object client.Object) {
				object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "X", Name: "x", UID: "x", Controller: &yes}})
			}
			assert.Empty(t, told(t, kind, uses["env"], owned), "nobody reads what a controller is told")
		})
	}
}
