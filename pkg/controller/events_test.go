package controller_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// told are the events about the Connector: type, reason, and how often.
func (f *fixture) told(t require.TestingT) []string {
	var list eventsv1.EventList
	require.NoError(t, f.admin.List(f.t.Context(), &list, client.InNamespace(f.namespace)))
	var told []string
	for _, e := range list.Items {
		times := int32(1)
		if e.Series != nil {
			times = e.Series.Count
		}
		assert.Equal(t, "Connector", e.Regarding.Kind)
		assert.Equal(t, f.connector.Name, e.Regarding.Name)
		assert.Equal(t, f.connector.UID, e.Regarding.UID)
		assert.Equal(t, "connectors.alauda.io/connector-controller", e.ReportingController)
		told = append(told, fmt.Sprintf("%s %s %d", e.Type, e.Reason, times))
	}
	slices.Sort(told)
	return told
}

func (f *fixture) awaitTold(want ...string) {
	f.t.Helper()
	require.EventuallyWithT(f.t, func(t *assert.CollectT) { assert.Equal(t, want, f.told(t)) }, later, tick)
}

func TestEvents(t *testing.T) {
	f := newFixture(t, patient)
	f.pointAt(target(t, healthy))
	f.create(f.connector)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	f.awaitTold("Warning SecretNotFound 1")
	f.create(f.secret)
	f.await(later, ready)
	f.awaitTold("Normal Ready 1", "Warning SecretNotFound 1")

	f.update(f.secret, func() { f.secret.Data[connector.SecretKeyToken] = []byte(f.goodToken()) })
	f.awaitTold("Normal CredentialRotated 1", "Normal Ready 1", "Warning SecretNotFound 1")
	// Another change of the Secret is none of the token.
	f.update(f.secret, func() { f.secret.Data["note"] = []byte("x") })
	f.update(f.secret, func() {
		f.secret.Data[connector.SecretKeyToken] = []byte(f.jwt(time.Time{}, time.Now().Add(time.Hour)))
	})
	f.awaitTold("Normal CredentialRotated 2", "Normal Ready 1", "Warning SecretNotFound 1", "Warning TokenExpiring 1")

	// The same again is counted, not told anew.
	f.remove(f.secret)
	f.await(later, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound, ""))
	f.secret.ResourceVersion = ""
	f.create(f.secret)
	f.await(later, ready)
	f.awaitTold("Normal CredentialRotated 2", "Normal Ready 2", "Warning SecretNotFound 2", "Warning TokenExpiring 2")
}

// Looks that find nothing new tell nothing; nor does a controller that is started
// anew.
func TestNoEventsWhenNothingHappens(t *testing.T) {
	f, flaky := newFixture(t, eager), newFlaky(t)
	f.pointAt(flaky.Server)
	f.create(f.secret, f.connector)
	f.await(later, ready)
	f.awaitTold("Normal Ready 1")
	flaky.awaitProbes(t, 4)
	status := f.read(t).ResourceVersion

	require.NoError(t, eager.restart())
	flaky.awaitProbes(t, 4)
	require.Equal(t, status, f.read(t).ResourceVersion)
	f.awaitTold("Normal Ready 1")
}
