package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// probeTimeGoodFor is how old lastProbeTime may become while nothing else changes,
// plus as much as a sixth of it, by the Connector: ten thousand that came in
// together are not written together.
const probeTimeGoodFor = 12 * time.Hour

// status is what the findings make of the status, Ready first. It has all that
// this controller owns of it, and nothing else.
func (e *evaluation) status() v1alpha1.ConnectorStatus {
	before := &e.connector.Status
	status := v1alpha1.ConnectorStatus{
		ObservedGeneration: e.connector.Generation,
		Proxy:              e.proxy,
		Conditions:         []metav1.Condition{e.condition(v1alpha1.ConditionReady, e.summary())},
		LastProbeTime:      before.LastProbeTime,
	}
	for _, c := range checks {
		status.Conditions = append(status.Conditions, e.condition(c.condition, e.findings[c.condition]))
	}
	if !e.lifetime.Expires.IsZero() {
		status.TokenExpirationTime = &metav1.Time{Time: e.lifetime.Expires}
	}
	switch {
	case e.outcome != nil:
		status.User = e.outcome.user
		if e.outcome.version != "" {
			status.Target = &v1alpha1.ConnectorTarget{Version: e.outcome.version}
		}
		if !isWritten(before, &status) || isProbeTimeOld(e.connector, e.now) {
			status.LastProbeTime = &metav1.Time{Time: e.now}
		}
	case before.ObservedGeneration == e.connector.Generation:
		// Being asked again: what was said before still is the last that was said.
		status.User, status.Target = before.User, before.Target
	}
	return status
}

// isProbeTimeOld reports whether lastProbeTime is to be written for its own sake.
func isProbeTimeOld(c *v1alpha1.Connector, now time.Time) bool {
	if c.Status.LastProbeTime == nil {
		return true
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(c.UID)) // it cannot fail
	extra := probeTimeGoodFor / 6 * time.Duration(hash.Sum32()>>16) >> 16
	return now.Sub(c.Status.LastProbeTime.Time) > probeTimeGoodFor+extra
}

// condition is a finding with its bookkeeping. The time of the last transition
// stays while the status does.
func (e *evaluation) condition(kind v1alpha1.ConditionType, f finding) metav1.Condition {
	since := metav1.Time{Time: e.now}
	if before := meta.FindStatusCondition(e.connector.Status.Conditions, string(kind)); before != nil && before.Status == f.status {
		since = before.LastTransitionTime
	}
	return metav1.Condition{
		Type:               string(kind),
		Status:             f.status,
		Reason:             string(f.reason),
		Message:            e.harmless(f.message),
		ObservedGeneration: e.connector.Generation,
		LastTransitionTime: since,
	}
}

// harmless is a message without what the target may have put into it: it was sent
// the Secret, and there is room in the names of a certificate.
func (e *evaluation) harmless(message string) string {
	hide := func(secret string) {
		if len(secret) >= len("password") {
			message = strings.ReplaceAll(message, secret, "…")
		}
	}
	for key, secret := range e.secret {
		// A token is mostly longer than all that is said. That key is the Connector's own.
		if len(secret) <= len(message) && key != corev1.ServiceAccountNamespaceKey {
			hide(string(secret))
		}
	}
	hide(e.sealing)
	return abbreviate(message)
}

// abbreviate keeps what others wrote from filling the status.
func abbreviate(s string) string {
	const most = 300
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most]) + "…"
	}
	return s
}

// writeStatus writes the status if it says something new, and reports whether it did.
func (r *reconciler) writeStatus(ctx context.Context, c *v1alpha1.Connector, status v1alpha1.ConnectorStatus) (bool, error) {
	if isWritten(&c.Status, &status) && c.Status.LastProbeTime.Equal(status.LastProbeTime) {
		return false, nil
	}
	patch, err := statusPatch(c, &status)
	if err != nil {
		return false, fmt.Errorf("converting the status: %w", err)
	}
	// The answer is not of interest but for the version.
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}}
	answer.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Connector"))
	if err := r.client.Status().Patch(ctx, answer, patch); err != nil {
		return false, fmt.Errorf("writing the status: %w", err)
	}
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
	r.memory.change(key, func(remembered *remembered) { remembered.written, remembered.at = answer.ResourceVersion, time.Now() })

	before := meta.FindStatusCondition(c.Status.Conditions, string(v1alpha1.ConditionReady))
	after := &status.Conditions[0]
	if before == nil || before.Status != after.Status || before.Reason != after.Reason {
		log.FromContext(ctx).Info("Connector changed", "ready", after.Status, "reason", after.Reason, "message", after.Message)
	}
	return true, nil
}

// statusPatch is what makes the status there say what it should. What other writers own
// of it stays. Applying a status on the server's side costs the API server a quarter
// more.
//
// It is for the version that was looked at and fails if there is a newer one, mostly
// with a conflict, so that a status never speaks of a generation that the API server
// does not have any more as if it were the present one.
func statusPatch(c *v1alpha1.Connector, should *v1alpha1.ConnectorStatus) (client.Patch, error) {
	if equality.Semantic.DeepEqual(c.Status, v1alpha1.ConnectorStatus{}) {
		// There may be none yet, or one that others have begun with fields of their own.
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": c.ResourceVersion},
			"status":   should,
		})
		return client.RawPatch(types.MergePatchType, patch), err
	}
	patch, err := json.Marshal(statusChanges(c, should))
	return client.RawPatch(types.JSONPatchType, patch), err
}

// statusChanges are the changes of a status as a JSON Patch (RFC 6902), which can
// change one condition of a list.
func statusChanges(c *v1alpha1.Connector, should *v1alpha1.ConnectorStatus) []jsonpatch.Operation {
	there := &c.Status
	patch := []jsonpatch.Operation{jsonpatch.NewOperation("replace", "/metadata/resourceVersion", c.ResourceVersion)}
	for _, field := range []struct {
		name          string
		there, should any
		none          bool
	}{
		{"observedGeneration", there.ObservedGeneration, should.ObservedGeneration, false},
		{"proxy", there.Proxy, should.Proxy, should.Proxy == nil},
		{"target", there.Target, should.Target, should.Target == nil},
		{"user", there.User, should.User, should.User == ""},
		{"tokenExpirationTime", there.TokenExpirationTime, should.TokenExpirationTime, should.TokenExpirationTime == nil},
		{"lastProbeTime", there.LastProbeTime, should.LastProbeTime, should.LastProbeTime == nil},
	} {
		switch path := "/status/" + field.name; {
		case equality.Semantic.DeepEqual(field.there, field.should):
		case field.none:
			patch = append(patch, jsonpatch.NewOperation("remove", path, nil))
		default:
			patch = append(patch, jsonpatch.NewOperation("add", path, field.should))
		}
	}
	if len(there.Conditions) == 0 {
		return append(patch, jsonpatch.NewOperation("add", "/status/conditions", should.Conditions))
	}
	for i := range should.Conditions {
		condition := &should.Conditions[i]
		at := slices.IndexFunc(there.Conditions, func(c metav1.Condition) bool { return c.Type == condition.Type })
		switch {
		case at < 0:
			patch = append(patch, jsonpatch.NewOperation("add", "/status/conditions/-", condition))
		case !isSame(&there.Conditions[at], condition):
			patch = append(patch, jsonpatch.NewOperation("replace", fmt.Sprintf("/status/conditions/%d", at), condition))
		}
	}
	return patch
}

// isWritten reports whether the status there says all that it should, but for when
// the target was last asked.
func isWritten(there, should *v1alpha1.ConnectorStatus) bool {
	if there.ObservedGeneration != should.ObservedGeneration ||
		there.User != should.User ||
		!equality.Semantic.DeepEqual(there.Proxy, should.Proxy) ||
		!equality.Semantic.DeepEqual(there.Target, should.Target) ||
		!there.TokenExpirationTime.Equal(should.TokenExpirationTime) {
		return false
	}
	for i := range should.Conditions {
		found := meta.FindStatusCondition(there.Conditions, should.Conditions[i].Type)
		if found == nil || !isSame(found, &should.Conditions[i]) {
			return false
		}
	}
	return true
}

// isSame compares conditions of one type. By reflection it took a tenth of a look.
func isSame(a, b *metav1.Condition) bool {
	return a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message &&
		a.ObservedGeneration == b.ObservedGeneration && a.LastTransitionTime.Equal(&b.LastTransitionTime)
}
