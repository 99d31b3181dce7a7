package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// watched are resources for the informers of one application.
var watched = []schema.GroupVersionResource{
	{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "pods"}, {Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "limitranges"},
	{Version: "v1", Resource: "resourcequotas"}, {Version: "v1", Resource: "replicationcontrollers"},
	{Version: "v1", Resource: "persistentvolumeclaims"},
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "apps", Version: "v1", Resource: "statefulsets"}, {Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "batch", Version: "v1", Resource: "jobs"}, {Group: "batch", Version: "v1", Resource: "cronjobs"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
}

// newRelay passes connections on to an API server, and counts them.
func newRelay(t *testing.T, api *cluster.API) (address string, count *atomic.Int32) {
	t.Helper()
	// The API server's certificate is for this address, too.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	count = &atomic.Int32{}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", strings.TrimPrefix(api.Address, "https://"))
				if err != nil {
					return
				}
				defer server.Close()
				go func() {
					defer server.Close()
					_, _ = io.Copy(server, client)
				}()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	return "https://" + listener.Addr().String(), count
}

// counting counts the watches that it sends.
type counting struct {
	http.RoundTripper
	watches *atomic.Int32
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Has("watch") {
		c.watches.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// TestInformers: twenty informers of an application, in either mode, see what
// happens, and renew their watches on the connections to the API server that are
// open.
func TestInformers(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t, target, nil)
	address, connections := newRelay(t, clusters.Target)
	sidecar := startSidecar(t, address, clusters.Target.CA, newIdentity(t, target, "cluster-admin").Token(t))
	watches := &atomic.Int32{}
	var factories []informers.SharedInformerFactory
	for _, name := range contexts {
		config := sidecar.restConfig(t, name)
		config.Wrap(func(transport http.RoundTripper) http.RoundTripper { return counting{transport, watches} })
		set, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		factory := informers.NewSharedInformerFactoryWithOptions(set, 0, informers.WithNamespace(namespace),
			// For minutes otherwise.
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.TimeoutSeconds = new(int64(2)) }))
		for _, resource := range watched {
			_, err := factory.ForResource(resource)
			require.NoError(t, err)
		}
		factory.StartWithContext(t.Context())
		factories = append(factories, factory)
	}
	total := len(contexts) * len(watched)
	var stores []cache.Store
	for _, factory := range factories {
		for resource, synced := range factory.WaitForCacheSync(t.Context().Done()) {
			require.True(t, synced, resource)
		}
		stores = append(stores, factory.Core().V1().ConfigMaps().Informer().GetStore())
	}
	begun := connections.Load()
	eventually(t, func() bool { return int(watches.Load()) >= 4*total }, "the watches are not renewed")
	create(t, target, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: namespace}})
	for i, store := range stores {
		eventually(t, func() bool {
			_, there, err := store.GetByKey(namespace + "/late")
			require.NoError(t, err)
			return there
		}, "the informer of %s does not see a new object", contexts[i])
	}
	t.Logf("%d watches, %d of them at once, took %d connections, %d of them to begin with", watches.Load(), total, connections.Load(), begun)
	// One each, if the sidecar speaks HTTP/1.1, and some that begin as others end.
	assert.LessOrEqual(t, int(connections.Load()), total+total/4)
}

// restConfig is the client configuration of a context.
func (s *localSidecar) restConfig(t *testing.T, name string) *rest.Config {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveClientConfig(*s.config, name, nil, nil).ClientConfig()
	require.NoError(t, err)
	config.QPS = -1
	return config
}

// TestLeaderElection: candidates elect a leader through the sidecar, and another
// one when that gives up.
func TestLeaderElection(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	var stop []context.CancelFunc
	for i, w := range ways {
		leads, seen := make(chan struct{}), make(chan string, len(ways)*2)
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta: metav1.ObjectMeta{Name: "leader", Namespace: namespace}, Client: w.set(t).CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: w.name},
			},
			LeaseDuration: patience, RenewDeadline: patience / 2, RetryPeriod: interval, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { close(leads) },
				OnStoppedLeading: func() {},
				OnNewLeader:      func(leader string) { seen <- leader },
			},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			elector.Run(ctx)
		}()
		stop = append(stop, func() {
			cancel()
			<-ended
		})
		if i > 0 {
			require.Equal(t, ways[i-1].name, receive(t, seen))
			stop[i-1]()
		}
		receive(t, leads)
		assert.True(t, elector.IsLeader())
	}
	stop[len(stop)-1]()
}

// receive receives what is to come, or the end.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		require.FailNow(t, "it does not come")
		panic("unreachable")
	}
}

// TestDynamicClient: a client that knows no types does all it can with an object.
func TestDynamicClient(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			client, err := dynamic.NewForConfig(w.config)
			require.NoError(t, err)
			objects := client.Resource(watched[0]).Namespace(namespace)
			object := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": w.name, "labels": map[string]any{"way": w.name}},
			}}
			made, err := objects.Create(t.Context(), object, metav1.CreateOptions{})
			require.NoError(t, err)
			events, err := objects.Watch(t.Context(), metav1.ListOptions{LabelSelector: "way=" + w.name, ResourceVersion: made.GetResourceVersion()})
			require.NoError(t, err)
			defer events.Stop()
			require.NoError(t, unstructured.SetNestedField(object.Object, "applied", "data", "key"))
			applied, err := objects.Apply(t.Context(), w.name, object, metav1.ApplyOptions{FieldManager: "e2e"})
			require.NoError(t, err)
			assert.Equal(t, applied, receive(t, events.ResultChan()).Object)
			list, err := objects.List(t.Context(), metav1.ListOptions{LabelSelector: "way=" + w.name})
			require.NoError(t, err)
			require.Len(t, list.Items, 1)
			assert.Equal(t, applied.Object, list.Items[0].Object)
			require.NoError(t, objects.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "way=" + w.name}))
			assert.EqualValues(t, "DELETED", receive(t, events.ResultChan()).Type)
		})
	}
}

// TestDiscovery: a client discovers the same through the sidecar, also when it
// knows it already: client-go in memory, kubectl on disk.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	ways, sidecar := waysTo(t, clusters.Target)
	var want []*metav1.APIResourceList
	for _, w := range ways {
		client := memory.NewMemCacheClient(w.set(t).Discovery())
		for range 2 {
			_, resources, err := client.ServerGroupsAndResources()
			require.NoError(t, err)
			require.NotEmpty(t, resources)
			if want == nil {
				want = resources
			}
			assert.ElementsMatch(t, want, resources, w.name)
			mapping, err := restmapper.NewDeferredDiscoveryRESTMapper(client).KindFor(watched[9])
			require.NoError(t, err)
			assert.Equal(t, "Deployment", mapping.Kind)
			client.Invalidate()
		}
	}
	for _, name := range contexts {
		cacheDir := "--cache-dir=" + t.TempDir()
		var first string
		for range 2 {
			output, err := sidecar.kubectl(t, clusters.Kubectl, name, "api-resources", cacheDir).CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.Contains(t, string(output), "deployments")
			if first == "" {
				first = string(output)
			}
			assert.Equal(t, first, string(output))
		}
	}
}
