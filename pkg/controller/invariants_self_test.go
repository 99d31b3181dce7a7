package controller_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// wellSaid is a status that nothing is wrong with.
func wellSaid() *v1alpha1.Connector {
	long := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	c := &v1alpha1.Connector{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "k8s", UID: "1", Generation: 2, ResourceVersion: "7"}}
	c.Status = v1alpha1.ConnectorStatus{
		ObservedGeneration: 2,
		Proxy:              &v1alpha1.ConnectorProxy{HTTPAddress: &v1alpha1.ProxyAddress{URL: "http://127.0.0.1:17443"}},
		LastProbeTime:      &long,
	}
	for _, part := range append([]v1alpha1.ConditionType{v1alpha1.ConditionReady}, append(informational, summed...)...) {
		c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{
			Type: string(part), Status: metav1.ConditionTrue, Reason: "Ready", Message: "well", ObservedGeneration: 2, LastTransitionTime: long,
		})
	}
	return c
}

// The invariants are worth as much as what they catch.
func TestInvariantsCatchViolations(t *testing.T) {
	condition := func(c *v1alpha1.Connector, kind v1alpha1.ConditionType) *metav1.Condition {
		return meta.FindStatusCondition(c.Status.Conditions, string(kind))
	}
	for name, tc := range map[string]struct {
		change func(c *v1alpha1.Connector)
		want   string
	}{
		"well": {func(c *v1alpha1.Connector) {
			condition(c, v1alpha1.ConditionReady).Message = "better"
		}, ""},
		"no Ready":              {func(c *v1alpha1.Connector) { c.Status.Conditions = c.Status.Conditions[1:] }, "there is no Ready"},
		"a part missing":        {func(c *v1alpha1.Connector) { c.Status.Conditions = c.Status.Conditions[:5] }, "there is no LivenessReady"},
		"a stale generation":    {func(c *v1alpha1.Connector) { c.Generation++ }, "a generation that is over"},
		"a part failed":         {func(c *v1alpha1.Connector) { condition(c, v1alpha1.ConditionAuthReady).Status = metav1.ConditionFalse }, "its first part"},
		"a part of a past spec": {func(c *v1alpha1.Connector) { condition(c, v1alpha1.ConditionAuthReady).ObservedGeneration = 1 }, "another generation"},
		"a time in a message":   {func(c *v1alpha1.Connector) { condition(c, v1alpha1.ConditionCACertReady).Message = "at 12:00:00" }, "has a time in it"},
		"no proxy":              {func(c *v1alpha1.Connector) { c.Status.Proxy = nil }, "the proxy is missing"},
		"nothing changed":       {func(c *v1alpha1.Connector) { c.ResourceVersion = "7" }, "changed nothing"},
		"a probe only": {func(c *v1alpha1.Connector) {
			c.Status.LastProbeTime = &metav1.Time{Time: time.Now()}
		}, "lastProbeTime only"},
		"a probe after half a day": {func(c *v1alpha1.Connector) {
			c.Status.LastProbeTime = &metav1.Time{Time: c.Status.LastProbeTime.Add(12 * time.Hour)}
		}, ""},
		"a transition that is none": {func(c *v1alpha1.Connector) {
			condition(c, v1alpha1.ConditionCACertReady).LastTransitionTime = metav1.Now()
		}, "did not change"},
		"unknown for no reason": {func(c *v1alpha1.Connector) {
			for _, kind := range []v1alpha1.ConditionType{v1alpha1.ConditionReady, v1alpha1.ConditionConnectorClassReady} {
				condition(c, kind).Status = metav1.ConditionUnknown
			}
		}, "Ready became Unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := wellSaid(), wellSaid()
			before.CreationTimestamp, after.CreationTimestamp = metav1.Time{}, metav1.Time{}
			after.ResourceVersion = "8"
			tc.change(after)
			var i invariants
			for _, c := range []*v1alpha1.Connector{before, after} {
				sent := []byte(`[{"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}]`)
				written, err := json.Marshal(c)
				require.NoError(t, err)
				i.check(sent, written)
			}
			if tc.want == "" {
				require.Empty(t, i.violations("team"))
				return
			}
			require.Contains(t, strings.Join(i.violations("team"), "\n"), tc.want)
			require.Equal(t, i.violations("team"), i.violations(""))
			require.Empty(t, i.violations("other"))
		})
	}
}

func TestInvariantsCatchTokens(t *testing.T) {
	const token = "a-token-that-nobody-may-see-0815"
	for where, text := range map[string]string{
		"plain":          "x" + token + "y",
		"its end":        "x" + token[20:],
		"base64":         base64.StdEncoding.EncodeToString([]byte(token)),
		"within base64":  base64.StdEncoding.EncodeToString([]byte("1" + token + "2")),
		"within base64 ": base64.StdEncoding.EncodeToString([]byte("12" + token + "3")),
	} {
		require.Equal(t, []string{where}, leaksOf(token, map[string]string{where: text, "elsewhere": "a-token"}), where)
	}
}
