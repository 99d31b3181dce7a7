package controller_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// newClass makes a class of its own for the fixture's Connector, which is as that
// of k8s without probes, after a change.
func (f *fixture) newClass(change func(*v1alpha1.ConnectorClassSpec)) *v1alpha1.ConnectorClass {
	f.t.Helper()
	class := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: f.namespace + "-"},
		Spec: v1alpha1.ConnectorClassSpec{Auth: &v1alpha1.ClassAuth{Types: []v1alpha1.AuthType{
			{Name: "bearerTokenAuth", SecretType: connector.SecretTypeBearerToken},
		}}},
	}
	change(&class.Spec)
	f.create(class)
	f.connector.Spec.ConnectorClassName = class.Name
	f.t.Cleanup(func() {
		// The context of the test has ended.
		require.NoError(f.t, client.IgnoreNotFound(f.admin.Delete(context.Background(), class)))
	})
	return class
}

// awaitClass waits until Ready of a class is what is wanted about its present spec.
func (f *fixture) awaitClass(class *v1alpha1.ConnectorClass, status metav1.ConditionStatus, reason v1alpha1.ConditionReason, message string) {
	f.t.Helper()
	require.EventuallyWithT(f.t, func(t *assert.CollectT) {
		require.NoError(t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(class), class))
		assert.Equal(t, class.Generation, class.Status.ObservedGeneration)
		require.Len(t, class.Status.Conditions, 1)
		found := class.Status.Conditions[0]
		assert.Equal(t, string(v1alpha1.ConditionReady), found.Type)
		assert.Equal(t, status, found.Status, found.Message)
		assert.Equal(t, string(reason), found.Reason)
		assert.Equal(t, message, found.Message)
		assert.Equal(t, class.Generation, found.ObservedGeneration)
	}, soon, tick)
}

const classIsReady = "Connectors can be of this class"

func TestInstalledClassIsReady(t *testing.T) {
	f := newFixture(t, patient)
	f.awaitClass(&v1alpha1.ConnectorClass{ObjectMeta: metav1.ObjectMeta{Name: "k8s"}}, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)
}

// Each case breaks one thing of a class that would be Ready.
func TestClassConditions(t *testing.T) {
	array := []v1alpha1.ParamSpec{{Name: "a"}, {Name: "b", ParamConstraints: v1alpha1.ParamConstraints{Type: "array"}}}
	file := func(template string) func(*v1alpha1.ConnectorClassSpec) {
		return func(s *v1alpha1.ConnectorClassSpec) {
			s.Configurations = []v1alpha1.Configuration{{Name: "config", Data: map[string]string{"a": "", ".b": template}}}
		}
	}
	const (
		isArray    = "array is not supported; make it string"
		noTemplate = "spec.configurations[0].data[.b]: is not a Go template with the functions of sprig: line "
	)
	for name, tc := range map[string]struct {
		change  func(*v1alpha1.ConnectorClassSpec)
		reason  v1alpha1.ConditionReason
		message string
	}{
		"nothing wrong": {func(*v1alpha1.ConnectorClassSpec) {}, v1alpha1.ReasonReady, classIsReady},
		"nothing":       {func(s *v1alpha1.ConnectorClassSpec) { *s = v1alpha1.ConnectorClassSpec{} }, v1alpha1.ReasonReady, classIsReady},
		"a file":        {file(`{{ range .connectors }}{{ .spec.address | b64enc | trimSuffix "=" }}{{ end }}`), v1alpha1.ReasonReady, classIsReady},
		"what has a generator, a proxy and an API": {func(s *v1alpha1.ConnectorClassSpec) {
			s.Auth.Types[0].Generator = &v1alpha1.AuthGenerator{Rego: "package proxy"}
			s.API = &apiextensionsv1.JSON{Raw: []byte(`{"uri": "https://api.example.com"}`)}
			s.Proxy = &apiextensionsv1.JSON{Raw: []byte(`{"uri": "https://proxy.example.com"}`)}
		}, v1alpha1.ReasonReady, classIsReady},

		"an address of another type": {func(s *v1alpha1.ConnectorClassSpec) {
			s.Address = &v1alpha1.AddressSpec{ParamConstraints: v1alpha1.ParamConstraints{Type: "object"}}
		}, v1alpha1.ReasonUnsupported, "spec.address.type: object is not supported; make it string"},
		"further addresses of another type": {func(s *v1alpha1.ConnectorClassSpec) { s.AddressExtensions = array }, v1alpha1.ReasonUnsupported, "spec.addressExtensions[1].type: " + isArray},
		"parameters of another type":        {func(s *v1alpha1.ConnectorClassSpec) { s.Params = array }, v1alpha1.ReasonUnsupported, "spec.params[1].type: " + isArray},
		"those of an auth type":             {func(s *v1alpha1.ConnectorClassSpec) { s.Auth.Types[0].Params = array }, v1alpha1.ReasonUnsupported, "spec.auth.types[0].params[1].type: " + isArray},
		"those of a probe": {func(s *v1alpha1.ConnectorClassSpec) {
			s.AuthProbes = []v1alpha1.AuthProbe{{AuthName: "bearerTokenAuth", Params: array}}
		}, v1alpha1.ReasonUnsupported, "spec.authProbes[0].params[1].type: " + isArray},
		"those of a file": {func(s *v1alpha1.ConnectorClassSpec) {
			s.Configurations = []v1alpha1.Configuration{{Name: "c", Params: array}}
		}, v1alpha1.ReasonUnsupported, "spec.configurations[0].params[1].type: " + isArray},
		"a file that does not end":             {file("\n{{ if .connector }}"), v1alpha1.ReasonInvalidSpec, noTemplate + "2: unexpected EOF"},
		"a file with a function of nobody":     {file("{{ encrypt .connector }}"), v1alpha1.ReasonInvalidSpec, noTemplate + `1: function "encrypt" not defined`},
		"a file of the renderer's environment": {file(`{{ env "HOME" }}`), v1alpha1.ReasonInvalidSpec, noTemplate + `1: function "env" not defined`},
		"wrong, and not supported": {func(s *v1alpha1.ConnectorClassSpec) {
			s.Params = array
			file("{{ if")(s)
		}, v1alpha1.ReasonInvalidSpec, noTemplate + "1: unclosed action (and 1 more)"},
		"a long story": {file("{{ " + strings.Repeat("x", 400) + " }}"), v1alpha1.ReasonInvalidSpec,
			(noTemplate + `1: function "` + strings.Repeat("x", 400))[:300] + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			class := f.newClass(tc.change)
			status := metav1.ConditionFalse
			if tc.reason == v1alpha1.ReasonReady {
				status = metav1.ConditionTrue
			}
			f.awaitClass(class, status, tc.reason, tc.message)
		})
	}
}

// Connectors of a class that breaks say so, and come back by themselves.
func TestClassBreaksAndIsMended(t *testing.T) {
	f := newFixture(t, patient)
	class := f.newClass(func(*v1alpha1.ConnectorClassSpec) {})
	f.create(f.secret, f.connector)
	f.await(soon, ready)

	f.update(class, func() {
		class.Spec.Params = []v1alpha1.ParamSpec{{Name: "a", ParamConstraints: v1alpha1.ParamConstraints{Type: "object"}}}
	})
	told := `ConnectorClass "` + class.Name + `" is not ready: spec.params[0].type: object is not supported; make it string`
	f.await(soon,
		isFalse(v1alpha1.ConditionConnectorClassReady, v1alpha1.ReasonConnectorClassNotReady, told),
		isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotReady, told),
		isUnknown(v1alpha1.ConditionSecretReady, "waits for the ConnectorClass"))
	f.awaitClass(class, metav1.ConditionFalse, v1alpha1.ReasonUnsupported, "spec.params[0].type: object is not supported; make it string")

	f.update(class, func() { class.Spec.Params = nil })
	f.await(soon, ready)
	f.awaitClass(class, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)

	// One of the same name and the same generation is another class.
	f.remove(class)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotFound, ""))
	again := &v1alpha1.ConnectorClass{
		ObjectMeta: metav1.ObjectMeta{Name: class.Name},
		Spec:       v1alpha1.ConnectorClassSpec{Address: &v1alpha1.AddressSpec{ParamConstraints: v1alpha1.ParamConstraints{Type: "array"}}},
	}
	f.create(again)
	f.await(soon, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConnectorClassNotReady, "spec.address.type: array is not supported"))
	f.remove(again)
}

// The status of a class is written when it says something new, and only then is
// there an event.
func TestClassStatusIsWrittenOnce(t *testing.T) {
	f := newFixture(t, patient)
	class := f.newClass(func(*v1alpha1.ConnectorClassSpec) {})
	f.awaitClass(class, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)
	f.awaitEvents(class, v1alpha1.ReasonReady)
	require.Equal(t, 1, f.invariants.writesOfClass(class.Name))

	// A change of metadata is looked at, and so is nothing else after it: looks
	// at classes come one after another.
	f.update(class, func() { class.Annotations = map[string]string{"a": "b"} })
	other := f.newClass(func(s *v1alpha1.ConnectorClassSpec) { s.Auth = nil })
	f.awaitClass(other, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)
	require.Equal(t, 1, f.invariants.writesOfClass(class.Name))

	// Another spec is a write, and no event, because it is Ready as before.
	f.update(class, func() { class.Spec.Auth.Types[0].DisplayName = "Token" })
	f.awaitClass(class, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)
	f.update(class, func() {
		class.Spec.Auth.Types[0].Params = []v1alpha1.ParamSpec{{Name: "a", ParamConstraints: v1alpha1.ParamConstraints{Type: "array"}}}
	})
	const told = "spec.auth.types[0].params[0].type: array is not supported; make it string"
	f.awaitClass(class, metav1.ConditionFalse, v1alpha1.ReasonUnsupported, told)
	require.Equal(t, 3, f.invariants.writesOfClass(class.Name))
	found := f.awaitEvents(class, v1alpha1.ReasonReady, v1alpha1.ReasonUnsupported)
	require.Equal(t, "Warning", found[1].Type)
	require.Equal(t, told, found[1].Note)

	// What somebody else makes of it is put right.
	require.NoError(t, f.admin.Get(t.Context(), client.ObjectKeyFromObject(class), class))
	class.Status.Conditions[0].Status = metav1.ConditionTrue
	require.NoError(t, f.admin.Status().Update(t.Context(), class))
	f.awaitClass(class, metav1.ConditionFalse, v1alpha1.ReasonUnsupported, told)
}

// awaitEvents waits until the events about a class have certain reasons.
func (f *fixture) awaitEvents(class *v1alpha1.ConnectorClass, reasons ...v1alpha1.ConditionReason) []eventsv1.Event {
	f.t.Helper()
	var found []eventsv1.Event
	require.EventuallyWithT(f.t, func(t *assert.CollectT) {
		var all eventsv1.EventList
		require.NoError(t, f.admin.List(f.t.Context(), &all, client.InNamespace(metav1.NamespaceDefault)))
		found = nil
		for _, event := range all.Items {
			if event.Regarding.UID == class.UID {
				found = append(found, event)
			}
		}
		slices.SortFunc(found, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
		var got []v1alpha1.ConditionReason
		for _, event := range found {
			got = append(got, v1alpha1.ConditionReason(event.Reason))
		}
		assert.Equal(t, reasons, got)
	}, soon, tick)
	return found
}

func TestConnectorsOfAClassAreCounted(t *testing.T) {
	f := newFixture(t, patient)
	class := f.newClass(func(*v1alpha1.ConnectorClassSpec) {})
	other := f.newClass(func(s *v1alpha1.ConnectorClassSpec) { s.Auth = nil })
	f.awaitClass(class, metav1.ConditionTrue, v1alpha1.ReasonReady, classIsReady)
	counted := func(class *v1alpha1.ConnectorClass, want int32) {
		t.Helper()
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			require.NoError(t, f.admin.Get(f.t.Context(), client.ObjectKeyFromObject(class), class))
			assert.Equal(t, want, class.Status.Connectors)
		}, later, tick)
	}
	var made []*v1alpha1.Connector
	add := func(n int) {
		for range n {
			c := f.connector.DeepCopy()
			c.Name, c.GenerateName, c.Spec.ConnectorClassName = "", "counted-", class.Name
			f.create(c)
			made = append(made, c)
		}
	}
	before := f.invariants.writesOfClass(class.Name)
	add(1)
	counted(class, 1)
	add(9)
	counted(class, 10)
	require.LessOrEqual(t, f.invariants.writesOfClass(class.Name)-before, 2, "what happens in a row is one write")

	f.update(made[0], func() { made[0].Spec.ConnectorClassName = other.Name })
	counted(other, 1)
	counted(class, 9)
	for _, c := range made {
		f.remove(c)
	}
	counted(class, 0)
	counted(other, 0)

	// Each part of the status has its owner.
	owners := make(map[string]string)
	for _, entry := range class.ManagedFields {
		if entry.Subresource != "status" {
			continue
		}
		var fields map[string]map[string]any
		require.NoError(t, json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields))
		for field := range fields["f:status"] {
			owners[field] = entry.Manager
		}
	}
	require.Equal(t, map[string]string{
		"f:conditions": "connector-controller", "f:observedGeneration": "connector-controller", "f:connectors": "connector-controller-classes",
	}, owners)
	require.Equal(t, metav1.ConditionTrue, meta.FindStatusCondition(class.Status.Conditions, string(v1alpha1.ConditionReady)).Status)
}
