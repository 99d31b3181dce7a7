package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// sight is what of a Pod can be seen from outside.
type sight struct {
	pod    *corev1.Pod
	events []corev1.Event
}

// event is whether something was said of a part of the Pod, as spec.containers{app}.
func (s sight) event(reason, part string) bool {
	for _, event := range s.events {
		if event.Reason == reason && event.InvolvedObject.FieldPath == part {
			return true
		}
	}
	return false
}

// waits is whether the container app cannot start, for this reason.
func (s sight) waits(reason string) bool {
	for _, status := range s.pod.Status.ContainerStatuses {
		if status.State.Waiting != nil && status.State.Waiting.Reason == reason {
			return true
		}
	}
	return false
}

// moment is one of the start of a Pod.
type moment struct {
	change func(*corev1.Pod)
	come   func(sight) bool
	then   state
}

// state is how far the sidecar has got.
type state int

const (
	early  state = iota // it may or may not have started
	hooked              // its postStart hook runs, and nothing starts meanwhile
	served              // it is ready, and has to end by itself
)

func unchanged(*corev1.Pod) {}

// trapped is a script that ends when it is told to.
var trapped = []string{"sh", "-c", `trap "exit 0" TERM; sleep 3600 & wait`}

const (
	sidecarPart = "spec.initContainers{connector-proxy}"
	beforePart  = "spec.initContainers{before}"
)

func initBefore(pod *corev1.Pod) {
	before := *pod.Spec.Containers[0].DeepCopy()
	before.Name = "before"
	pod.Spec.InitContainers = []corev1.Container{before}
}

var moments = map[string]moment{
	"made":      {unchanged, func(sight) bool { return true }, early},
	"scheduled": {unchanged, func(s sight) bool { return s.pod.Spec.NodeName != "" }, early},
	"no-volume": {
		func(pod *corev1.Pod) {
			missing := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent"}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "own", VolumeSource: missing}}
			pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: "/own"}}
		},
		func(s sight) bool { return s.event("FailedMount", "") }, early,
	},
	"sidecar-created": {unchanged, func(s sight) bool { return s.event("Created", sidecarPart) }, early},
	// With so little CPU, seconds pass until its postStart hook has returned, as on
	// a node that has too much to do.
	"hook": {
		func(pod *corev1.Pod) { pod.Annotations[v1alpha1.AnnotationProxyCPULimit] = "10m" },
		func(s sight) bool { return s.event("Started", sidecarPart) }, hooked,
	},
	"init-created": {initBefore, func(s sight) bool { return s.event("Created", beforePart) }, served},
	"init-running": {initBefore, func(s sight) bool {
		statuses := s.pod.Status.InitContainerStatuses
		return len(statuses) == 2 && statuses[1].State.Running != nil
	}, served},
	"no-image": {
		func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Image, pod.Spec.Containers[0].ImagePullPolicy = "kube-connector.invalid/app:nowhere", corev1.PullIfNotPresent
		},
		func(s sight) bool { return s.waits("ErrImagePull") || s.waits("ImagePullBackOff") }, served,
	},
	"no-configmap": {
		func(pod *corev1.Pod) {
			missing := &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "missing"}}
			pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: missing}}
		},
		func(s sight) bool { return s.waits("CreateContainerConfigError") }, served,
	},
	// Neither its Secret nor its ConfigMap is there.
	"no-token": {
		func(pod *corev1.Pod) { pod.Annotations[v1alpha1.AnnotationConnectors] = "bare" },
		func(s sight) bool { return running(s.pod) }, served,
	},
}

// TestDeletedWhileStarting: a Pod that is deleted while it starts, wherever it has
// got to, is gone within its grace period, give or take what the node needs.
func TestDeletedWhileStarting(t *testing.T) {
	t.Parallel()
	const grace = 30 * time.Second
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	bare := connectorObject(namespace, clusters.Target.Address)
	bare.Name, bare.Spec.Auth.SecretRef.Name = "bare", "missing"
	create(t, home, bare)

	gone := watchDeleted(t, namespace)
	waiting := map[string]*corev1.Pod{}
	deleteAt := func(name string, events []corev1.Event) {
		if pod := waiting[name]; moments[name].come(sight{pod, events}) {
			require.NoError(t, home.Delete(t.Context(), pod))
			delete(waiting, name)
		}
	}
	for name, moment := range moments {
		pod := sleeper(namespace)
		pod.GenerateName, pod.Name = "", name
		pod.Spec.TerminationGracePeriodSeconds = new(int64(grace.Seconds()))
		pod.Spec.Containers[0].Command = trapped
		moment.change(pod)
		create(t, home, pod)
		waiting[name] = pod
		deleteAt(name, nil)
	}
	eventually(t, func() bool {
		var events corev1.EventList
		require.NoError(t, home.List(t.Context(), &events, client.InNamespace(namespace)))
		said := map[string][]corev1.Event{}
		for _, event := range events.Items {
			said[event.InvolvedObject.Name] = append(said[event.InvolvedObject.Name], event)
		}
		for name, pod := range waiting {
			require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
			deleteAt(name, said[name])
		}
		return len(waiting) == 0
	}, "not all Pods get to where they are to be deleted: %v", &waiting)

	for name, moment := range moments {
		t.Run(name, func(t *testing.T) {
			last := gone(name, grace+30*time.Second)
			switch moment.then {
			case early:
			case hooked:
				require.Len(t, last.Status.ContainerStatuses, 1)
				assert.Empty(t, last.Status.ContainerStatuses[0].ContainerID, "the hook had returned, and the app started")
			case served:
				assert.Zero(t, exitCode(t, last, "connector-proxy"), "the sidecar was killed")
			}
		})
	}
}
