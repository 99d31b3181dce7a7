package controller

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// patchedBy is what the API server makes of a patch.
func patchedBy(t *testing.T, patch client.Patch, c *v1alpha1.Connector, stored []byte) []byte {
	t.Helper()
	data, err := patch.Data(c)
	require.NoError(t, err)
	var patched []byte
	switch patch.Type() { //nolint:exhaustive // no others are sent
	case types.MergePatchType:
		patched, err = evanphx.MergePatch(stored, data)
	case types.JSONPatchType:
		var operations evanphx.Patch
		operations, err = evanphx.DecodePatch(data)
		require.NoError(t, err)
		require.Contains(t, string(data), `{"op":"replace","path":"/metadata/resourceVersion","value":"7"}`)
		patched, err = operations.Apply(stored)
	}
	require.NoError(t, err)
	return patched
}

// Whatever status is there, the patch makes it say what it should, and leaves what
// others wrote.
func TestStatusPatch(t *testing.T) {
	condition := func(kind, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.Unix(1_800_000_000, 0)}
	}
	full := v1alpha1.ConnectorStatus{
		ObservedGeneration:  3,
		Conditions:          []metav1.Condition{condition("Ready", "Ready"), condition("AuthReady", "ProbeSucceeded")},
		Proxy:               &v1alpha1.ConnectorProxy{HTTPAddress: &v1alpha1.ProxyAddress{URL: "http://127.0.0.1:1"}},
		Target:              &v1alpha1.ConnectorTarget{Version: "v1.36.3"},
		User:                "jane",
		TokenExpirationTime: &metav1.Time{Time: time.Unix(1_900_000_000, 0)},
		LastProbeTime:       &metav1.Time{Time: time.Unix(1_800_000_000, 0)},
	}
	for i := range reflect.TypeFor[v1alpha1.ConnectorStatus]().NumField() {
		if name := reflect.TypeFor[v1alpha1.ConnectorStatus]().Field(i).Name; name != "Consumers" {
			require.False(t, reflect.ValueOf(full).Field(i).IsZero(), "%s is new: is it in the patch?", name)
		}
	}
	other := *full.DeepCopy()
	other.ObservedGeneration, other.User, other.Target.Version, other.Proxy.HTTPAddress.URL = 4, "joe", "v1.37.0", "http://127.0.0.1:2"
	other.TokenExpirationTime, other.LastProbeTime = &metav1.Time{Time: time.Unix(1_900_000_001, 0)}, &metav1.Time{Time: time.Unix(1_800_000_001, 0)}
	other.Conditions[1].Reason = "NonAuthProbe"
	of := func(conditions ...metav1.Condition) v1alpha1.ConnectorStatus {
		return v1alpha1.ConnectorStatus{ObservedGeneration: 3, Conditions: conditions}
	}
	reviewed := condition("Reviewed", "Yes")

	for before, there := range map[string]v1alpha1.ConnectorStatus{
		"nothing":              {},
		"unknown":              {}, // to us
		"consumers":            {Consumers: &v1alpha1.ConnectorConsumers{Pods: 2}},
		"all":                  full,
		"all other":            other,
		"conditions":           of(full.Conditions...),
		"conditions of others": of(reviewed),
		"others first":         of(reviewed, full.Conditions[0], other.Conditions[1]),
		"others between":       of(full.Conditions[1], reviewed, full.Conditions[0]),
		"one missing":          of(reviewed, other.Conditions[1]),
	} {
		for after, should := range map[string]v1alpha1.ConnectorStatus{"all": full, "all other": other, "conditions": of(full.Conditions...)} {
			t.Run(before+" to "+after, func(t *testing.T) {
				c := &v1alpha1.Connector{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Status: there}
				stored, err := json.Marshal(c)
				require.NoError(t, err)
				switch before {
				case "nothing": // as it is created
					stored = []byte(`{"metadata": {"resourceVersion": "7"}}`)
				case "unknown":
					stored = []byte(`{"metadata": {"resourceVersion": "7"}, "status": {"acme": "mine"}}`)
				}
				patch, err := statusPatch(c, &should)
				require.NoError(t, err)
				patched := patchedBy(t, patch, c, stored)
				require.Equal(t, before == "unknown", bytes.Contains(patched, []byte(`"acme":"mine"`)))
				var got v1alpha1.Connector
				require.NoError(t, json.Unmarshal(patched, &got))

				require.Equal(t, "7", got.ResourceVersion)
				require.Equal(t, there.Consumers, got.Status.Consumers)
				require.Equal(t, meta.FindStatusCondition(there.Conditions, "Reviewed"), meta.FindStatusCondition(got.Status.Conditions, "Reviewed"))
				meta.RemoveStatusCondition(&got.Status.Conditions, "Reviewed")
				for _, condition := range should.Conditions {
					require.Equal(t, &condition, meta.FindStatusCondition(got.Status.Conditions, condition.Type))
				}
				require.Len(t, got.Status.Conditions, len(should.Conditions))
				got.Status.Consumers, got.Status.Conditions = nil, should.Conditions
				require.Equal(t, should, got.Status)
			})
		}
	}
}
