package controller_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// A Secret is read when it changes, and not for each look.
func TestSecretIsReadOnce(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	ca := f.caSecret(map[string]string{"ca.crt": string(caOf(server.Server))})
	f.create(f.secret, f.connector)
	f.await(later, ready)
	// It may have been read before the cache knew of it.
	token, trust := f.invariants.reads(f.namespace, f.secret.Name), f.invariants.reads(f.namespace, ca.Name)
	require.Positive(t, token)
	require.Positive(t, trust)
	server.awaitProbes(t, 5)
	require.Equal(t, token, f.invariants.reads(f.namespace, f.secret.Name))
	require.Equal(t, trust, f.invariants.reads(f.namespace, ca.Name))

	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("a-new-token-0042-0042")) })
	require.Eventually(t, func() bool { return f.invariants.reads(f.namespace, f.secret.Name) > token }, later, tick)
	require.Equal(t, trust, f.invariants.reads(f.namespace, ca.Name))
}

// One that does not exist is not asked for with each look, and found when it comes.
func TestMissingSecretIsAskedForOnce(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "missing"}
	f.create(f.secret, f.connector)
	f.await(later, ready, isFalse(v1alpha1.ConditionCACertReady, v1alpha1.ReasonSecretNotFound, ""))
	asked := f.invariants.reads(f.namespace, "missing")
	require.LessOrEqual(t, asked, 2, "the API server's cache, and what is behind it")
	server.awaitProbes(t, 5)
	require.Equal(t, asked, f.invariants.reads(f.namespace, "missing"))

	f.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "missing"},
		Data:       map[string][]byte{connector.SecretKeyCA: caOf(server.Server)},
	})
	f.await(later, isTrue(v1alpha1.ConditionCACertReady, v1alpha1.ReasonValid))
}

// Data of Secrets that no Connector names is not read, and not held any more when
// the last one that named it is gone.
func TestSecretIsHeldWhileItIsNamed(t *testing.T) {
	f := newFixture(t, patient)
	other := f.secret.DeepCopy()
	other.Name = "other"
	f.create(f.secret, other, f.connector)
	f.await(later, ready)
	require.Zero(t, f.invariants.reads(f.namespace, other.Name))
	before := f.invariants.reads(f.namespace, f.secret.Name)

	f.update(f.connector, func() { f.connector.Spec.Auth.SecretRef.Name = other.Name })
	f.await(later, ready)
	require.Positive(t, f.invariants.reads(f.namespace, other.Name))
	f.update(f.connector, func() { f.connector.Spec.Auth.SecretRef.Name = f.secret.Name })
	f.await(later, ready)
	require.Equal(t, before+1, f.invariants.reads(f.namespace, f.secret.Name), "it was let go of")

	f.remove(f.connector)
	f.connector.ResourceVersion = ""
	require.Eventually(t, func() bool {
		// Until the controller has heard of the deletion, it is the same Connector.
		f.connector.ResourceVersion, f.connector.UID = "", ""
		require.NoError(t, f.admin.Create(t.Context(), f.connector))
		f.await(later, ready)
		if f.invariants.reads(f.namespace, f.secret.Name) > before+1 {
			return true
		}
		f.remove(f.connector)
		return false
	}, later, tick)
}

// While the cache has not got what was written last, nothing is written, and a
// change back is not taken for none.
func TestCacheThatIsBehind(t *testing.T) {
	f := newFixture(t, patient)
	good := f.secret.Data[connector.SecretKeyToken]
	f.create(f.secret, f.connector)
	f.await(later, ready)

	f.invariants.held.Lock()
	release := f.invariants.held.Unlock
	defer func() { release() }()
	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("a-revoked-token-4711")) })
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAuthenticationFailed, "401"))
	written := f.invariants.statuses(f.namespace)
	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = good })
	// Looks that come now find a Ready one in the cache, which is over.
	require.Never(t, func() bool { return f.invariants.statuses(f.namespace) > written }, 500*time.Millisecond, tick)
	release()
	release = func() {}
	f.await(later, ready)
	require.Equal(t, written+1, f.invariants.statuses(f.namespace))
}

// A status is not written about a spec that has changed meanwhile.
func TestSpecThatTheCacheDoesNotHave(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.connector)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))

	f.invariants.held.Lock()
	release := f.invariants.held.Unlock
	defer func() { release() }()
	f.update(f.connector, func() { f.connector.Spec.ConnectorClassName = "nowhere" })
	tried := f.invariants.statuses(f.namespace)
	f.create(f.secret)
	require.Eventually(t, func() bool { return f.invariants.statuses(f.namespace) > tried }, later, tick, "it is tried")
	require.Equal(t, int64(1), f.read(t).Status.ObservedGeneration, "and refused")
	release()
	release = func() {}
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotFound, ""))
}

func TestAPIServerGoesAndComesBack(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(later, ready)
	said := len(logs.String())

	f.invariants.down.Store(true)
	defer f.invariants.down.Store(false)
	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive("a-revoked-token-4712")) })
	require.Eventually(t, func() bool {
		return strings.Contains(logs.String()[said:], errDown.Error())
	}, later, tick, "it says so")
	f.invariants.down.Store(false)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonAuthenticationFailed, "401"))
}

func TestSecretsMayNotBeRead(t *testing.T) {
	f := newFixture(t, eager)
	f.create(f.secret, f.connector)
	f.await(later, ready)
	configMap := f.configMap(t).ResourceVersion

	var role rbacv1.ClusterRole
	require.NoError(t, f.admin.Get(t.Context(), client.ObjectKey{Name: "connector-controller"}, &role))
	allowed := role.DeepCopy()
	for i := range role.Rules {
		if role.Rules[i].Resources[0] == "secrets" {
			role.Rules[i].Verbs = []string{"list", "watch"}
		}
	}
	require.NoError(t, f.admin.Update(t.Context(), &role))
	allowAgain := func() {
		role.Rules = allowed.Rules
		require.NoError(t, f.admin.Update(t.Context(), &role))
	}
	defer func() {
		if allowAgain != nil {
			allowAgain()
		}
	}()
	// The API server takes a moment to know of it, and what has not changed need not
	// be read.
	require.Eventually(t, func() bool {
		f.update(f.secret, func() { metav1.SetMetaDataAnnotation(&f.secret.ObjectMeta, "at", time.Now().String()) })
		for _, condition := range f.read(t).Status.Conditions {
			if condition.Type == string(v1alpha1.ConditionSecretReady) && condition.Status == metav1.ConditionUnknown {
				return true
			}
		}
		return false
	}, later, 10*tick)
	f.await(later, isUnknown(v1alpha1.ConditionReady, `the controller may not read Secret "k8s-secret"; allow its ServiceAccount to get it`))
	require.Equal(t, configMap, f.configMap(t).ResourceVersion, "what running Pods have stays")

	allowAgain()
	allowAgain = nil
	f.await(later, ready)
}

// lastProbeTime is written with other changes, and alone only when it is old.
func TestLastProbeTime(t *testing.T) {
	f, server := newFixture(t, eager), newFlaky(t)
	f.pointAt(server.Server)
	f.create(f.secret, f.connector)
	f.await(later, ready)
	require.WithinDuration(t, time.Now(), f.read(t).Status.LastProbeTime.Time, time.Minute)

	setBack := func(age time.Duration) {
		c := f.read(t)
		c.Status.LastProbeTime = &metav1.Time{Time: time.Now().Add(-age).Truncate(time.Second)}
		require.NoError(t, f.admin.Status().Update(t.Context(), c))
	}
	setBack(11 * time.Hour)
	version := f.read(t).ResourceVersion
	server.awaitProbes(t, 4)
	require.Equal(t, version, f.read(t).ResourceVersion)

	setBack(15 * time.Hour)
	require.Eventually(t, func() bool { return time.Since(f.read(t).Status.LastProbeTime.Time) < time.Minute }, later, tick)
	version = f.read(t).ResourceVersion
	server.awaitProbes(t, 4)
	require.Equal(t, version, f.read(t).ResourceVersion)
}

// The cache holds of Connectors not how they came to be.
func TestCacheHoldsWhatIsNeeded(t *testing.T) {
	f := newFixture(t, patient)
	f.connector.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "cpaas.io/description": "mine"}
	f.create(f.secret, f.connector)
	f.await(later, ready)
	var c v1alpha1.Connector
	require.NoError(t, f.manager.GetCache().Get(t.Context(), client.ObjectKeyFromObject(f.connector), &c))
	require.Empty(t, c.ManagedFields)
	require.Equal(t, map[string]string{"cpaas.io/description": "mine"}, c.Annotations)
}
