package controller_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestConfigMap(t *testing.T) {
	f := newFixture(t, patient)
	other := caOf(target(t, healthy))
	f.caSecret(map[string]string{
		"twice.pem": string(eager.config.CAData) + "# a comment\n" + string(eager.config.CAData),
		"other.crt": string(other),
		"key.txt":   "not read",
	})
	f.create(f.secret, f.connector)
	f.await(soon, ready)

	var both connector.Bundle
	require.NoError(t, both.Add(eager.config.CAData))
	require.NoError(t, both.Add(other))
	yes := true
	got := f.configMap(t)
	address, err := connector.ParseAddress(f.connector.Spec.Address)
	require.NoError(t, err)
	ref := connector.Reference{Namespace: f.namespace, Name: f.connector.Name}
	require.Equal(t, map[string]string{
		v1alpha1.ConnectionKeyAddress: f.connector.Spec.Address,
		v1alpha1.ConnectionKeyCA:      string(both.PEM()),
		v1alpha1.ConnectionKeySeal:    connector.Seal(string(f.secret.Data[connector.SecretKeyToken]), ref, address, both.PEM()),
	}, got.Data)
	require.Equal(t, map[string]string{v1alpha1.LabelConnector: f.connector.Name}, got.Labels)
	require.Equal(t, []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connector",
		Name: f.connector.Name, UID: f.connector.UID, Controller: &yes,
	}}, got.OwnerReferences)
}

// A target that does not answer is no reason to leave Pods without its address.
func TestConfigMapWithoutTarget(t *testing.T) {
	f := newFixture(t, patient)
	server := target(t, healthy)
	f.pointAt(server)
	server.Close()
	f.create(f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	require.Equal(t, map[string]string{v1alpha1.ConnectionKeyAddress: f.connector.Spec.Address}, f.configMap(t).Data)
}

func TestConfigMapIsRestored(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	original := f.configMap(t)

	for name, tamper := range map[string]func(*corev1.ConfigMap){
		"another address":    func(c *corev1.ConfigMap) { c.Data[v1alpha1.ConnectionKeyAddress] = "https://evil.example.com" },
		"another CA":         func(c *corev1.ConfigMap) { c.Data[v1alpha1.ConnectionKeyCA] = string(caOf(target(t, healthy))) },
		"no address":         func(c *corev1.ConfigMap) { delete(c.Data, v1alpha1.ConnectionKeyAddress) },
		"one key more":       func(c *corev1.ConfigMap) { c.Data["token"] = "x" },
		"the CA in binary":   func(c *corev1.ConfigMap) { moveToBinary(c, v1alpha1.ConnectionKeyCA) },
		"no data":            func(c *corev1.ConfigMap) { c.Data = nil },
		"no label":           func(c *corev1.ConfigMap) { c.Labels = nil },
		"another's label":    func(c *corev1.ConfigMap) { c.Labels[v1alpha1.LabelConnector] = "other" },
		"another owner, too": func(c *corev1.ConfigMap) { c.OwnerReferences = append(c.OwnerReferences, someOwner("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			configMap := f.configMap(t)
			tamper(configMap)
			require.NoError(t, f.admin.Update(t.Context(), configMap))
			require.EventuallyWithT(t, func(t *assert.CollectT) {
				got := f.configMap(t)
				assert.Equal(t, original.Data, got.Data)
				assert.Empty(t, got.BinaryData)
				assert.Equal(t, original.Labels, got.Labels)
				assert.Contains(t, got.OwnerReferences, original.OwnerReferences[0])
			}, soon, tick)
		})
	}
	f.await(soon, ready)

	f.remove(f.configMap(t))
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		assert.Equal(t, original.Data, f.configMap(t).Data)
	}, soon, tick)
}

// A ca.crt where the Connector names none would be trusted by the sidecars.
func TestConfigMapGetsNoForeignCA(t *testing.T) {
	f := newFixture(t, patient)
	delete(f.secret.Data, connector.SecretKeyCA)
	f.create(f.secret, f.connector)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))

	configMap := f.configMap(t)
	configMap.Data[v1alpha1.ConnectionKeyCA] = string(eager.config.CAData)
	require.NoError(t, f.admin.Update(t.Context(), configMap))
	require.Eventually(t, func() bool {
		_, there := f.configMap(t).Data[v1alpha1.ConnectionKeyCA]
		return !there
	}, soon, tick)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonCertificateInvalid, ""))
}

func TestForeignConfigMapIsLeftAlone(t *testing.T) {
	for name, owners := range map[string][]metav1.OwnerReference{
		"without owner":              nil,
		"of another controller":      {someOwner("somebody")},
		"of another Connector":       {connectorOwner("other")},
		"owned by ours, not control": {{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connector", Name: "k8s-connector", UID: "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			// By the schedule, because there is no event: only ConfigMaps with our
			// label are watched.
			f := newFixture(t, eager)
			foreign := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "k8s-connector.connector", OwnerReferences: owners},
				Data:       map[string]string{v1alpha1.ConnectionKeyAddress: "mine"},
			}
			f.create(foreign, f.secret, f.connector)
			f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConfigMapConflict,
				`ConfigMap "k8s-connector.connector" belongs to somebody else, but the sidecars need the name; delete or rename it`),
				isTrue(v1alpha1.ConditionAuthReady, v1alpha1.ReasonProbeSucceeded))
			require.Equal(t, foreign.ResourceVersion, f.configMap(t).ResourceVersion)

			f.remove(foreign)
			f.await(soon, ready)
			require.Equal(t, f.connector.Spec.Address, f.configMap(t).Data[v1alpha1.ConnectionKeyAddress])
		})
	}
}

// Garbage collection may be slower than whoever creates a Connector anew.
func TestConfigMapOfAPredecessorIsTakenOver(t *testing.T) {
	f := newFixture(t, patient)
	f.create(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "k8s-connector.connector", OwnerReferences: []metav1.OwnerReference{connectorOwner("k8s-connector")}},
		Data:       map[string]string{v1alpha1.ConnectionKeyAddress: "https://old", "old": "x"},
	}, f.secret, f.connector)
	f.await(soon, ready)
	got := f.configMap(t)
	require.NotContains(t, got.Data, "old")
	require.Equal(t, f.connector.Spec.Address, got.Data[v1alpha1.ConnectionKeyAddress])
	require.True(t, metav1.IsControlledBy(got, f.connector))
	require.Len(t, got.OwnerReferences, 1, "or garbage collection would wait for the wrong one")
}

func TestImmutableConfigMapIsReported(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	configMap, yes := f.configMap(t), true
	configMap.Data[v1alpha1.ConnectionKeyAddress] = "https://evil.example.com"
	configMap.Immutable = &yes
	require.NoError(t, f.admin.Update(t.Context(), configMap))
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonProxyServiceNotFound, "immutable"))
	f.remove(configMap)
	f.await(soon, ready)
}

// A Connector that is being deleted gets no new ConfigMap, or a foreground
// deletion would never end.
func TestDeletedConnectorIsLeftAlone(t *testing.T) {
	f := newFixture(t, patient)
	f.connector.Finalizers = []string{"example.com/hold"}
	f.create(f.secret, f.connector)
	f.await(soon, ready)
	f.remove(f.connector)
	// A reconcile that began before may write it once more.
	key := client.ObjectKey{Namespace: f.namespace, Name: "k8s-connector.connector"}
	deletions := 0
	require.Eventually(t, quietFor(500*time.Millisecond, func() int64 {
		var configMap corev1.ConfigMap
		if err := f.admin.Get(t.Context(), key, &configMap); err == nil {
			require.NoError(t, f.admin.Delete(t.Context(), &configMap))
			deletions++
		}
		return int64(deletions)
	}), later, tick)
	require.LessOrEqual(t, deletions, 2)
	f.update(f.connector, func() { f.connector.Finalizers = nil })
}

func moveToBinary(c *corev1.ConfigMap, key string) {
	c.BinaryData = map[string][]byte{key: []byte(c.Data[key])}
	delete(c.Data, key)
}

func someOwner(name string) metav1.OwnerReference {
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Secret", Name: name, UID: "2"}
	if name == "somebody" {
		yes := true
		owner.Controller = &yes
	}
	return owner
}

func connectorOwner(name string) metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connector", Name: name, UID: "1", Controller: &yes}
}
