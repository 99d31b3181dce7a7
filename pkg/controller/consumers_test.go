package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// writesApart is how far apart eager writes the consumers of a Connector; patient
// writes them at once.
const writesApart = 2 * time.Second

// pod is a Pod that was injected as the webhook does it, with the Connector as it
// is now.
func (f *fixture) pod(name string) *corev1.Pod {
	f.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: name,
			Annotations: map[string]string{v1alpha1.AnnotationConnectors: f.connector.Name, "big": strings.Repeat("x", 1000)},
			Labels:      map[string]string{"app": name},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	request, err := inject.ReadRequest(pod, inject.Namespace{Name: f.namespace, Injection: v1alpha1.InjectionEnabled})
	require.NoError(f.t, err)
	plan, err := inject.Plan(pod, request, []*v1alpha1.Connector{f.read(f.t)}, inject.Options{Image: "sidecar"})
	require.NoError(f.t, err)
	operations, err := json.Marshal(plan.Patch)
	require.NoError(f.t, err)
	patch, err := evanphx.DecodePatch(operations)
	require.NoError(f.t, err)
	raw, err := json.Marshal(pod)
	require.NoError(f.t, err)
	raw, err = patch.Apply(raw)
	require.NoError(f.t, err)
	injected := &corev1.Pod{}
	require.NoError(f.t, json.Unmarshal(raw, injected))
	return injected
}

// end makes a Pod one that has ended.
func (f *fixture) end(pod *corev1.Pod, phase corev1.PodPhase) {
	f.t.Helper()
	pod.Status.Phase = phase
	require.NoError(f.t, f.admin.Status().Update(f.t.Context(), pod))
}

// kill deletes Pods as a node would that they ran on.
func (f *fixture) kill(pods ...*corev1.Pod) {
	f.t.Helper()
	for _, pod := range pods {
		require.NoError(f.t, f.admin.Delete(f.t.Context(), pod, client.GracePeriodSeconds(0)))
	}
}

// awaitConsumers waits until the status counts so many Pods.
func (f *fixture) awaitConsumers(pods, outdated int32) {
	f.t.Helper()
	require.EventuallyWithT(f.t, func(t *assert.CollectT) {
		assert.Equal(t, &v1alpha1.ConnectorConsumers{Pods: pods, Outdated: outdated}, f.read(t).Status.Consumers)
	}, later, tick)
	f.invariantsHold()
}

func TestConsumersAreCounted(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	require.Nil(t, f.read(t).Status.Consumers, "nobody ever used it")

	one, two, three := f.pod("one"), f.pod("two"), f.pod("three")
	plain := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "plain"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	f.create(one, two, three, plain)
	f.awaitConsumers(3, 0)

	f.end(two, corev1.PodSucceeded)
	f.end(three, corev1.PodFailed)
	f.awaitConsumers(1, 0)
	f.kill(two, three) // does not count twice

	f.update(f.connector, func() { f.connector.Spec.Address += "/" })
	f.awaitConsumers(1, 1)
	four := f.pod("four")
	f.create(four)
	f.awaitConsumers(2, 1)
	f.kill(one)
	f.awaitConsumers(1, 0)
	f.kill(four)
	f.awaitConsumers(0, 0)
	f.await(soon, ready)
}

// A Connector that is created anew under the name begins at generation 1, like the
// one before. Its Pods are those that are there.
func TestConsumersOfAConnectorCreatedAnew(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.update(f.connector, func() { f.connector.Spec.Address += "/" })
	f.create(f.pod("app"))
	f.awaitConsumers(1, 0)
	f.remove(f.connector)
	f.connector.ResourceVersion, f.connector.UID = "", ""
	f.create(f.connector)
	f.awaitConsumers(1, 1)
}

// Each of the two writers leaves alone what the other wrote.
func TestCountingAndCheckingDoNotFight(t *testing.T) {
	f := newFixture(t, eager)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	f.create(f.pod("one"))
	f.awaitConsumers(1, 0)
	for range 3 {
		f.remove(f.secret)
		f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
		require.Equal(t, &v1alpha1.ConnectorConsumers{Pods: 1}, f.read(t).Status.Consumers)
		f.secret.ResourceVersion = ""
		f.create(f.secret)
		f.await(soon, ready)
	}
	f.create(f.pod("two"))
	f.awaitConsumers(2, 0)
	f.await(soon, ready)

	owners := make(map[string]string)
	for _, entry := range f.read(t).ManagedFields {
		if entry.Subresource == "status" {
			owners[entry.Manager] = entry.FieldsV1.GetRawString()
		}
	}
	require.JSONEq(t, `{"f:status":{"f:consumers":{"f:outdated":{},"f:pods":{}}}}`, owners["connector-controller-consumers"])
	require.NotContains(t, owners["connector-controller"], "f:consumers")

	// When nothing changes, nothing is written.
	require.Eventually(t, quietFor(2*writesApart, func() int64 { return int64(f.invariants.statuses(f.namespace)) }), later, tick)
}

// Pods that come one after the other are not written one by one, and the last one
// is not forgotten.
func TestConsumersAreWrittenTogether(t *testing.T) {
	f := newFixture(t, eager)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	counting, err := client.NewWithWatch(f.config, client.Options{Scheme: f.admin.Scheme()})
	require.NoError(t, err)
	began := time.Now()
	changes, err := counting.Watch(t.Context(), &v1alpha1.ConnectorList{}, client.InNamespace(f.namespace))
	require.NoError(t, err)
	defer changes.Stop()

	var counts []int32
	pods := int32(0)
	for ; len(counts) < 3; pods++ {
		f.create(f.pod(fmt.Sprintf("app-%d", pods)))
		select {
		case event := <-changes.ResultChan():
			c, ok := event.Object.(*v1alpha1.Connector)
			require.True(t, ok, "%v", event.Object)
			if now := c.Status.Consumers; now != nil && (len(counts) == 0 || counts[len(counts)-1] != now.Pods) {
				counts = append(counts, now.Pods)
			}
		default:
		}
	}
	require.GreaterOrEqual(t, time.Since(began), 2*writesApart, "%v", counts)
	f.awaitConsumers(pods, 0)
}

// Whoever may create Pods can write the label and the annotation too. It changes
// the count of the Connector that he names, in his namespace, and nothing else.
func TestForgedConsumers(t *testing.T) {
	f, other := newFixture(t, patient), newFixture(t, patient)
	f.create(f.secret, f.connector)
	other.create(other.secret, other.connector)
	f.await(soon, ready)
	other.await(soon, ready)

	entry := func(namespace string) string {
		return fmt.Sprintf(`{"name":"%s/%s","generation":1}`, namespace, f.connector.Name)
	}
	own := entry(f.namespace)
	for name, status := range map[string]string{
		"none":       "",
		"no-json":    "{",
		"no-list":    `{"connectors":7}`,
		"other":      `{"connectors":[` + entry(other.namespace) + `]}`,
		"too-long":   `{"connectors":[` + own + `],"more":"` + strings.Repeat("x", 4096) + `"}`,
		"too-many":   `{"connectors":[` + strings.Repeat(own+",", 16) + own + `]}`,
		"no-name":    `{"connectors":[{"name":"/","generation":1}]}`,
		"twice":      `{"connectors":[` + own + `,` + own + `]}`,
		"generation": `{"connectors":[{"name":"` + f.connector.Name + `","generation":-9223372036854775808}]}`,
		"not-there":  `{"connectors":[{"name":"` + f.namespace + `/not-there","generation":1}]}`,
		"both":       `{"connectors":[` + entry(other.namespace) + `,` + own + `]}`,
	} {
		pod := f.pod(name)
		pod.Annotations[v1alpha1.AnnotationStatus] = status
		f.create(pod)
	}
	f.awaitConsumers(3, 1) // twice, generation, both
	f.awaitQuiet()
	require.Equal(t, &v1alpha1.ConnectorConsumers{Pods: 3, Outdated: 1}, f.read(t).Status.Consumers)
	require.Nil(t, other.read(t).Status.Consumers)
}

// awaitQuiet waits until the controller has seen a Pod that came after all others.
func (f *fixture) awaitQuiet() {
	f.t.Helper()
	last := f.pod("last")
	f.create(last)
	key := client.ObjectKeyFromObject(last)
	require.Eventually(f.t, func() bool { return f.manager.GetCache().Get(f.t.Context(), key, cachedPod()) == nil }, later, tick)
	consumers := f.read(f.t).Status.Consumers
	f.awaitConsumers(consumers.Pods+1, consumers.Outdated)
	f.kill(last)
	f.awaitConsumers(consumers.Pods, consumers.Outdated)
}

func cachedPod() *metav1.PartialObjectMetadata {
	pod := &metav1.PartialObjectMetadata{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	return pod
}

// Of ten thousand Pods there is little in memory: no spec, no annotations, no
// Pod that was not injected or has ended.
func TestCacheHoldsLittleOfPods(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	injected, ended := f.pod("injected"), f.pod("ended")
	injected.Finalizers = []string{"example.com/finalizer"}
	f.create(injected, ended)
	t.Cleanup(func() {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		require.NoError(t, f.admin.Patch(context.Background(), injected, patch))
	})
	f.end(ended, corev1.PodSucceeded)
	f.awaitConsumers(1, 0)

	cached := cachedPod()
	require.NoError(t, f.manager.GetCache().Get(t.Context(), client.ObjectKeyFromObject(injected), cached))
	require.Equal(t, metav1.ObjectMeta{
		Name: injected.Name, Namespace: f.namespace, UID: injected.UID, Generation: injected.Generation,
		ResourceVersion: cached.ResourceVersion, CreationTimestamp: injected.CreationTimestamp,
		Labels: map[string]string{f.connector.Name: "1"},
	}, cached.ObjectMeta)
	require.Error(t, f.manager.GetCache().Get(t.Context(), client.ObjectKeyFromObject(ended), cachedPod()))
}

// Somebody else's figures do not stay.
func TestConsumersWrittenByOthers(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	f.create(f.pod("app"))
	f.awaitConsumers(1, 0)
	c := f.read(t)
	c.Status.Consumers = &v1alpha1.ConnectorConsumers{Pods: 7, Outdated: 7}
	require.NoError(t, f.admin.Status().Update(t.Context(), c))
	f.awaitConsumers(1, 0)
}
