package controller_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// What others write into the status stays, wherever it stands and whatever is in it,
// and what is not so any more goes.
func TestStatusOfOthersStays(t *testing.T) {
	f := newFixture(t, patient)
	f.pointAt(target(t, healthy))
	f.secret.Data[connector.SecretKeyToken] = []byte(f.jwt(time.Time{}, time.Now().Add(time.Hour)))
	f.create(f.secret, f.connector)
	f.await(later, ready, isFalse(v1alpha1.ConditionTokenExpiryReady, v1alpha1.ReasonExpiring, ""))
	require.NotNil(t, f.read(t).Status.TokenExpirationTime)

	// In the middle of ours, with a field that we know nothing of.
	f.patchStatus(`[
		{"op": "add", "path": "/status/conditions/3", "value": {"type": "acme.example/Approved", "status": "True", "reason": "Reviewed",
			"message": "by the platform team", "lastTransitionTime": "2026-01-02T03:04:05Z", "severity": "low"}}]`)
	f.remove(f.secret)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	f.othersStay()
	require.Nil(t, f.read(t).Status.TokenExpirationTime)

	// Before all of ours, one of which is not as it was.
	f.patchStatus(`[
		{"op": "move", "from": "/status/conditions/3", "path": "/status/conditions/0"},
		{"op": "replace", "path": "/status/conditions/2/message", "value": "all is well"}]`)
	f.secret.ResourceVersion = ""
	f.secret.Data[connector.SecretKeyToken] = []byte(f.goodToken())
	f.create(f.secret)
	f.await(later, ready)
	f.othersStay()
}

// Conditions are owned as a whole: who else applies one owns that one, and no write
// costs the bookkeeping of each field.
func TestConditionsAreOwnedAsAWhole(t *testing.T) {
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	f.await(later, ready)
	approve := func(status string) {
		t.Helper()
		applied := fmt.Sprintf(`{"apiVersion": %q, "kind": "Connector", "status": {"conditions": [{"type": "acme.example/Approved", "status": %q,
			"reason": "Reviewed", "message": "by the platform team", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`, v1alpha1.GroupVersion, status)
		require.NoError(t, f.admin.Status().Patch(t.Context(), f.connector.DeepCopy(), client.RawPatch(types.ApplyPatchType, []byte(applied)),
			client.FieldOwner("reviewer")))
	}
	approve("False")
	f.remove(f.secret)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	approve("True")
	f.secret.ResourceVersion = ""
	f.create(f.secret)
	f.await(later, ready)

	c := f.read(t)
	require.Len(t, c.Status.Conditions, 9)
	require.True(t, meta.IsStatusConditionTrue(c.Status.Conditions, "acme.example/Approved"))
	for manager, condition := range map[string]string{"reviewer": "acme.example/Approved", "connector-controller": "Ready"} {
		at := slices.IndexFunc(c.ManagedFields, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == manager })
		require.GreaterOrEqual(t, at, 0, manager)
		var fields struct {
			Status struct {
				Conditions map[string]map[string]any `json:"f:conditions"`
			} `json:"f:status"`
		}
		require.NoError(t, json.Unmarshal(c.ManagedFields[at].FieldsV1.GetRawBytes(), &fields))
		require.Contains(t, fields.Status.Conditions, fmt.Sprintf(`k:{"type":%q}`, condition))
		for key, parts := range fields.Status.Conditions {
			require.Empty(t, parts, key)
		}
	}
}

// patchStatus is what another writer does to the status.
func (f *fixture) patchStatus(operations string) {
	f.t.Helper()
	require.NoError(f.t, f.admin.Status().Patch(f.t.Context(), f.connector.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(operations))))
}

func (f *fixture) othersStay() {
	f.t.Helper()
	c := &unstructured.Unstructured{}
	c.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	require.NoError(f.t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(f.connector), c))
	conditions, _, err := unstructured.NestedSlice(c.Object, "status", "conditions")
	require.NoError(f.t, err)
	require.Len(f.t, conditions, 9)
	assert.Contains(f.t, conditions, map[string]any{
		"type": "acme.example/Approved", "status": "True", "reason": "Reviewed",
		"message": "by the platform team", "lastTransitionTime": "2026-01-02T03:04:05Z", "severity": "low",
	})
}
