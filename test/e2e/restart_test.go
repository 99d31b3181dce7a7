package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// stopTarget ends the target's API server until it is started, or the test ends.
func stopTarget(t *testing.T) (start func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	starter, err := clusters.StopTarget(ctx)
	require.NoError(t, err)
	start = sync.OnceFunc(func() { require.NoError(t, starter(context.WithoutCancel(t.Context()))) })
	t.Cleanup(start)
	return start
}

// watching is a container that watches over and over, as a script does.
func watching(name, context, namespace string) corev1.Container {
	c := watcher(name, context, namespace)
	c.Command = []string{"sh", "-c", "while :; do " + strings.Join(c.Command, " ") + "; sleep 1; done"}
	return c
}

// answerTo is what a way gives to a request: a code with a body, or an error.
func (w *way) answerTo(t *testing.T, method, path, body string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.config.Host+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+w.config.BearerToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(content)
}

// TestTargetRestarts: while the API server is down, every client is told so; when it is
// back, informers, watches in scripts and connections that were kept go on, and nothing
// else has to be started again. Nothing runs beside it: the target is everybody's.
func TestTargetRestarts(t *testing.T) {
	ways, _ := waysTo(t, clusters.Target)
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	watched := makeNamespace(t, target, nil)
	path := "/api/v1/namespaces/" + watched + "/configmaps"
	pod := sleeper(namespace)
	pod.Spec.Containers = append(pod.Spec.Containers,
		watching("watch-proxy", "k8s", watched), watching("watch-localhost", "k8s-localhost", watched))
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	stores := map[string]cache.Store{}
	for _, w := range ways {
		factory := informers.NewSharedInformerFactoryWithOptions(w.set(t), 0, informers.WithNamespace(watched))
		stores[w.name] = factory.Core().V1().ConfigMaps().Informer().GetStore()
		factory.StartWithContext(t.Context())
		factory.WaitForCacheSync(t.Context().Done())
	}
	seen := func(name string) {
		create(t, target, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: watched}})
		for way, store := range stores {
			eventually(t, func() bool {
				_, there, err := store.GetByKey(watched + "/" + name)
				return err == nil && there
			}, "the informer of %s does not see %s", way, name)
		}
		for _, container := range []string{"watch-proxy", "watch-localhost"} {
			eventually(t, func() bool { return strings.Contains(logs(t, pod, container), "configmap/"+name) },
				"%s does not see %s", container, name)
		}
	}
	seen("before")

	// Nobody asks anything while it is down. Each request has a connection that was
	// kept, and is dead, for itself.
	watches := make([]*watch, 3*len(ways))
	for i := range watches {
		watches[i] = ways[1].startWatch(t, path+"?watch=1&timeoutSeconds=1", nil)
	}
	for _, w := range watches {
		_, clean := w.rest()
		require.True(t, clean, "%v", w.err)
	}
	for _, w := range ways {
		code, text := w.answerTo(t, http.MethodPost, path, `{"metadata": {"name": "`+w.name+`-old"}}`)
		require.Equal(t, http.StatusCreated, code, text)
	}
	stopTarget(t)()
	var asking sync.WaitGroup
	for _, w := range ways {
		for _, request := range []struct {
			method, name, body string
			want               int
		}{
			{http.MethodGet, "", "", http.StatusOK},
			{http.MethodPost, "", `{"metadata": {"name": "` + w.name + `-new"}}`, http.StatusCreated},
			{http.MethodDelete, "/" + w.name + "-old", "", http.StatusOK},
		} {
			asking.Go(func() {
				code, text := w.answerTo(t, request.method, path+request.name, request.body)
				assert.Equal(t, request.want, code, "%s %s: %s", w.name, request.method, text)
			})
		}
	}
	asking.Wait()
	seen("restarted")

	start := stopTarget(t)
	for _, w := range ways {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			code, text := w.answerTo(t, method, path, "{}")
			if w.name == "direct" {
				assert.Contains(t, text, "connection refused")
				continue
			}
			assert.Contains(t, text, clusters.Target.Address[len("https://"):]+" refuses connections", w.name)
			if code == 0 { // a CONNECT was refused
				continue
			}
			assert.Equal(t, http.StatusBadGateway, code)
			var status metav1.Status
			require.NoError(t, json.Unmarshal([]byte(text), &status))
			assert.Equal(t, "Status", status.Kind)
		}
	}
	for _, context := range contexts {
		output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "get", "configmaps")
		require.Error(t, err)
		assert.Contains(t, output, "refuses connections", context)
	}
	start()
	seen("back")
	for _, context := range contexts {
		assert.Contains(t, whoami(t, pod, context), "system:serviceaccount:")
	}
	assertNoRestart(t, pod)
}
