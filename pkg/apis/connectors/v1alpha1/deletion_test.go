package v1alpha1_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

// inUse is an API server of its own, because a test takes the definitions away,
// with the policy about what is deleted while it is in use. Nobody counts there
// but the tests.
type inUse struct {
	*policed
	t      *testing.T
	config *rest.Config
}

func newInUse(t *testing.T) *inUse {
	t.Helper()
	u := &inUse{t: t, config: apiserver.Start(t)}
	u.policed = u.as("system:admin")
	apply(t, u, filepath.Join(policies, "deletion.yaml"))
	class, c := u.class("probe", 1), u.connector("probe", 1)
	// A policy works as soon as the API server has seen it and its binding.
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		assert.Error(t, u.Delete(u.t.Context(), class, client.DryRunAll))
		assert.Len(t, u.tell(t, func() error { return u.Delete(u.t.Context(), c, client.DryRunAll) }), 1)
	}, 30*time.Second, 100*time.Millisecond)
	return u
}

// as is the client of a user who may do everything.
func (u *inUse) as(user string) *policed {
	u.t.Helper()
	p := &policed{}
	c := rest.CopyConfig(u.config)
	c.WarningHandler = p
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	var err error
	p.Client, err = client.New(c, client.Options{Scheme: scheme})
	require.NoError(u.t, err)
	return p
}

// connector is a Connector that a number of Pods use, or of which nobody has said
// how many do.
func (u *inUse) connector(name string, pods int32) *v1alpha1.Connector {
	u.t.Helper()
	c := valid()
	c.Name = name
	require.NoError(u.t, u.Create(u.t.Context(), c))
	if pods >= 0 {
		c.Status.Consumers = &v1alpha1.ConnectorConsumers{Pods: pods}
		require.NoError(u.t, u.Status().Update(u.t.Context(), c))
	}
	return c
}

// class is a class that a number of Connectors are of.
func (u *inUse) class(name string, connectors int32) *v1alpha1.ConnectorClass {
	u.t.Helper()
	class := &v1alpha1.ConnectorClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
	require.NoError(u.t, u.Create(u.t.Context(), class))
	if connectors > 0 {
		class.Status.Connectors = connectors
		require.NoError(u.t, u.Status().Update(u.t.Context(), class))
	}
	return class
}

func TestDeletionInUse(t *testing.T) {
	u := newInUse(t)
	const (
		ends    = " the present token until the next restart; new Pods that name it are refused: kubectl get pods -n default -l connectors.alauda.io/injected=true"
		checked = " and would stop being checked; "
		later   = " anew with another class, and try again half a minute later: kubectl get connectors --all-namespaces"
	)
	for name, tc := range map[string]struct {
		pods int32
		want []string
	}{
		"not-counted": {-1, nil},
		"by-none":     {0, nil},
		"by-one":      {1, []string{"1 Pod uses Connector by-one and will go on with" + ends}},
		"by-many":     {30, []string{"30 Pods use Connector by-many and will go on with" + ends}},
	} {
		t.Run("Connector used "+name, func(t *testing.T) {
			c := u.connector(name, tc.pods)
			require.Equal(t, tc.want, u.tell(t, func() error { return u.Delete(t.Context(), c) }))
			require.Error(t, u.Get(t.Context(), client.ObjectKeyFromObject(c), c), "it is deleted all the same")
		})
	}
	for name, tc := range map[string]struct {
		connectors int32
		want       string
	}{
		"of-none": {0, ""},
		"of-one":  {1, "1 Connector is of class of-one" + checked + "delete it or make it" + later},
		"of-many": {30, "30 Connectors are of class of-many" + checked + "delete them or make them" + later},
	} {
		t.Run("class "+name, func(t *testing.T) {
			class := u.class(name, tc.connectors)
			err := u.Delete(t.Context(), class)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			class.Status.Connectors = 0
			require.NoError(t, u.Status().Update(t.Context(), class))
			require.NoError(t, u.Delete(t.Context(), class))
		})
	}

	// What Kubernetes deletes is deleted without a word.
	for _, user := range []string{
		"system:kube-controller-manager",
		"system:serviceaccount:kube-system:namespace-controller",
		"system:serviceaccount:kube-system:generic-garbage-collector",
	} {
		t.Run(user, func(t *testing.T) {
			u.connector("used", 3)
			class := u.class("used", 3)
			kubernetes := u.as(user)
			require.Empty(t, kubernetes.tell(t, func() error {
				return kubernetes.DeleteAllOf(t.Context(), &v1alpha1.Connector{}, client.InNamespace(metav1.NamespaceDefault))
			}))
			require.Empty(t, kubernetes.tell(t, func() error { return kubernetes.Delete(t.Context(), class) }))
		})
	}

	// As an uninstall does it: the definitions go, and with them what is in use.
	t.Run("uninstall", func(t *testing.T) {
		u.connector("used", 3)
		class := u.class("used", 3)
		require.Error(t, u.Delete(t.Context(), class))
		require.NoError(t, apiextensionsv1.AddToScheme(scheme))
		for _, name := range []string{"connectors", "connectorclasses"} {
			definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name + "." + v1alpha1.GroupName}}
			require.Empty(t, u.tell(t, func() error { return u.Delete(t.Context(), definition) }))
			require.Eventually(t, func() bool {
				return apierrors.IsNotFound(u.Get(t.Context(), client.ObjectKeyFromObject(definition), definition))
			}, 30*time.Second, 100*time.Millisecond)
		}
	})
}
