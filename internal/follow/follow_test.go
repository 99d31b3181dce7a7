package follow_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kube-connector/kube-connector/internal/follow"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	later = 20 * time.Second
	tick  = 20 * time.Millisecond
)

// admin is a client of the API server that all tests share; each has its own
// namespaces.
var admin client.WithWatch

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	server, err := apiserver.Run()
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Stop() }()
	if admin, err = client.NewWithWatch(server.Config, client.Options{}); err != nil {
		panic(err)
	}
	return m.Run()
}

// diary is what a handler was told, in a line each.
type diary struct {
	mu       sync.Mutex
	lines    []string
	versions map[string]string
}

func (d *diary) Seen(o client.Object) {
	d.write("seen "+o.GetNamespace()+" "+o.GetName()+content(o), o.GetName(), o.GetResourceVersion())
}

func (d *diary) Gone(o client.Object) {
	d.write("gone "+o.GetNamespace()+" "+o.GetName(), o.GetName(), o.GetResourceVersion())
}

func (d *diary) All(namespace string, objects []client.Object, version string) {
	line := "all " + namespace
	slices.SortFunc(objects, func(a, b client.Object) int { return len(a.GetName()) - len(b.GetName()) })
	for _, o := range objects {
		if o.GetNamespace() != "default" && o.GetNamespace() != "kube-system" {
			line += " " + o.GetName() + content(o)
		}
	}
	d.write(line, "", version)
}

func (d *diary) write(line, name, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	if d.versions == nil {
		d.versions = make(map[string]string)
	}
	d.versions[name] = version
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *diary) version(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.versions[name]
}

func (d *diary) await(t *testing.T, lines ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Equal(t, lines, d.read()) }, later, tick)
}

// content is what the transform of these tests leaves of the data.
func content(o client.Object) string {
	if value := o.GetAnnotations()["value"]; value != "" {
		return "=" + value
	}
	return ""
}

var configMaps = follow.Kind{
	Object:   &corev1.ConfigMap{},
	List:     &corev1.ConfigMapList{},
	Selector: labels.SelectorFromSet(labels.Set{"follow": "me"}),
	Transform: func(object any) (any, error) {
		if c, ok := object.(*corev1.ConfigMap); ok && c.Data != nil {
			c.Annotations, c.Data = map[string]string{"value": c.Data["value"]}, nil
		}
		return object, nil
	},
}

func namespace(t *testing.T) string {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	require.NoError(t, admin.Create(t.Context(), n))
	return n.Name
}

func configMap(namespace, name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"follow": "me"}},
		Data:       map[string]string{"value": value},
	}
}

// start follows until the test ends.
func start(t *testing.T, f *follow.Follower) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		goleak.VerifyNone(t, leaks, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
	})
	require.True(t, f.WaitForSync(ctx))
}

func TestFollow(t *testing.T) {
	in := namespace(t)
	first := configMap(in, "a", "1")
	other := configMap(in, "other", "1")
	other.Labels = nil
	require.NoError(t, admin.Create(t.Context(), first))
	require.NoError(t, admin.Create(t.Context(), other))

	d, also := &diary{}, &diary{}
	f := follow.New(admin, configMaps, in)
	f.Handle(d)
	f.Handle(also)
	start(t, f)
	d.await(t, "all "+in+" a=1")
	require.False(t, isOlder(t, d.version(""), first.ResourceVersion))

	second := configMap(in, "bb", "2")
	require.NoError(t, admin.Create(t.Context(), second))
	second.Data["value"] = "3"
	require.NoError(t, admin.Update(t.Context(), second))
	d.await(t, "all "+in+" a=1", "seen "+in+" bb=2", "seen "+in+" bb=3")
	require.Equal(t, second.ResourceVersion, d.version("bb"))

	// To lose the label is to be gone.
	first.Labels = nil
	require.NoError(t, admin.Update(t.Context(), first))
	require.NoError(t, admin.Delete(t.Context(), second))
	d.await(t, "all "+in+" a=1", "seen "+in+" bb=2", "seen "+in+" bb=3", "gone "+in+" a", "gone "+in+" bb")
	require.True(t, isOlder(t, second.ResourceVersion, d.version("bb")), "the version is that of the deletion")
	require.Equal(t, d.read(), also.read())
}

func TestFollowAllNamespaces(t *testing.T) {
	d := &diary{}
	kind := configMaps
	kind.Selector = labels.SelectorFromSet(labels.Set{"follow": "everywhere"})
	f := follow.New(admin, kind)
	f.Handle(d)
	start(t, f)
	d.await(t, "all ")
	c := configMap(namespace(t), "c", "1")
	c.Labels["follow"] = "everywhere"
	require.NoError(t, admin.Create(t.Context(), c))
	d.await(t, "all ", "seen "+c.Namespace+" c=1")
}

// What happens while a watch is broken is in what is there afterwards.
func TestWatchBreaks(t *testing.T) {
	in := namespace(t)
	var mu sync.Mutex
	var watches []watch.Interface
	down := false
	c := interceptor.NewClient(admin, interceptor.Funcs{
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return nil, apierrors.NewResourceExpired("the version is too old")
			}
			w, err := c.Watch(ctx, list, options...)
			watches = append(watches, w)
			return w, err
		},
	})
	d := &diary{}
	f := follow.New(c, configMaps, in)
	f.Handle(d)
	start(t, f)
	require.NoError(t, admin.Create(t.Context(), configMap(in, "a", "1")))
	d.await(t, "all "+in, "seen "+in+" a=1")

	mu.Lock()
	down = true
	for _, w := range watches {
		w.Stop()
	}
	mu.Unlock()
	require.NoError(t, admin.Delete(t.Context(), configMap(in, "a", "1")))
	require.NoError(t, admin.Create(t.Context(), configMap(in, "bb", "2")))
	mu.Lock()
	down = false
	mu.Unlock()
	require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Contains(t, d.read(), "all "+in+" bb=2") }, later, tick)
}

func TestNotSynced(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := follow.New(admin, configMaps)
	cancel()
	require.False(t, f.WaitForSync(ctx), "it was not even started")
}

func isOlder(t *testing.T, version, than string) bool {
	t.Helper()
	order, err := resourceversion.CompareResourceVersion(version, than)
	require.NoError(t, err)
	return order < 0
}
