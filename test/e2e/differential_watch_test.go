package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watch is a response that goes on.
type watch struct {
	header http.Header
	events <-chan string // closed when the response has ended
	err    error         // why it has, after that
	cancel context.CancelFunc
}

// startWatch returns when the headers of the response are there.
func (w *way) startWatch(t *testing.T, path string, header map[string]string) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.config.Host+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+w.config.BearerToken)
	req.Header.Set("Audit-Id", "e2e")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := w.client.Do(req)
	require.NoError(t, err, w.name)
	require.Equal(t, http.StatusOK, resp.StatusCode, w.name)
	resp.Header.Del("Date")
	next := readLine
	if strings.Contains(resp.Header.Get("Content-Type"), "protobuf") {
		next = readFrame
	}
	events := make(chan string)
	started := &watch{header: resp.Header, events: events, cancel: cancel}
	go func() {
		defer resp.Body.Close()
		defer close(events)
		for body := bufio.NewReader(resp.Body); ; {
			event, err := next(body)
			if err != nil {
				started.err = err
				return
			}
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return started
}

func readLine(r *bufio.Reader) (string, error) { return r.ReadString('\n') }

// readFrame reads an event of protobuf's, which has its length before it.
func readFrame(r *bufio.Reader) (string, error) {
	var length uint32
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return "", err
	}
	frame := make([]byte, length)
	_, err := io.ReadFull(r, frame)
	return string(frame), err
}

// next is the next event. There is one to come.
func (w *watch) next(t *testing.T) string {
	t.Helper()
	select {
	case event, ok := <-w.events:
		if !ok {
			require.FailNow(t, "the watch has ended", "%v", w.err)
		}
		return event
	case <-time.After(patience):
		require.FailNow(t, "the event does not come")
		return ""
	}
}

// rest is what comes until the watch ends, and whether it ends as it should.
func (w *watch) rest() (events []string, clean bool) {
	for event := range w.events {
		events = append(events, event)
	}
	return events, errors.Is(w.err, io.EOF)
}

// TestDifferentialWatch: the events of a watch, in any representation, come through
// the sidecar each when it comes directly, in the same order, and the headers before
// the first of them.
func TestDifferentialWatch(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	for name, representation := range map[string]string{
		"JSON": "application/json", "protobuf": asProtobuf + ";stream=watch", "Table": asTable,
		"metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := makeNamespace(t, target, nil)
			at := someObjects(t, namespace)
			watches := map[string]*watch{}
			for _, w := range ways {
				// Nothing has happened since, so the headers are all that can come.
				watches[w.name] = w.startWatch(t, "/api/v1/namespaces/"+namespace+"/configmaps?watch=1&resourceVersion="+at, accept(representation))
				assert.Equal(t, watches["direct"].header, watches[w.name].header, w.name)
			}
			seen := func() {
				t.Helper()
				want := watches["direct"].next(t)
				for _, w := range ways[1:] {
					// The next change is not before this one has come on all ways.
					assert.Equal(t, unchanging(want), unchanging(watches[w.name].next(t)), w.name)
				}
			}
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched", Namespace: namespace}}
			require.NoError(t, target.Create(t.Context(), object))
			seen()
			for _, length := range []int{1, 1 << 10, 1 << 19} {
				object.Data = map[string]string{"key": strings.Repeat("x", length)}
				require.NoError(t, target.Update(t.Context(), object))
				seen()
			}
			require.NoError(t, target.Delete(t.Context(), object))
			seen()
			// A burst comes in order.
			require.NoError(t, target.DeleteAllOf(t.Context(), object, client.InNamespace(namespace)))
			for range 6 {
				seen()
			}
		})
	}
	t.Run("initial events and bookmarks", func(t *testing.T) {
		t.Parallel()
		compareBookmarks(t, ways)
	})
}

// unchanging is an event without what watches of the same Table differ in: the
// API server encodes it once for all of them, for the first that asks, with the age
// at that moment and with columns if it was the first event of that one.
func unchanging(event string) string {
	return columnsOfTable.ReplaceAllString(ageOfTable.ReplaceAllString(event, `"AGE"`), "")
}

var (
	ageOfTable        = regexp.MustCompile(`"\d+s"`)
	columnsOfTable    = regexp.MustCompile(`"columnDefinitions":(null|\[\{.*?\}\]),`)
	versionOfBookmark = regexp.MustCompile(`"resourceVersion":"\d+"`)
)

// compareBookmarks compares watches that begin with all there is and end when the
// API server ends them, with a bookmark shortly before.
func compareBookmarks(t *testing.T, ways []*way) {
	t.Helper()
	namespace := makeNamespace(t, target, nil)
	someObjects(t, namespace)
	watches := make([]*watch, len(ways))
	for i, w := range ways {
		watches[i] = w.startWatch(t, "/api/v1/namespaces/"+namespace+"/configmaps?watch=1&sendInitialEvents=true"+
			"&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=4", nil)
		assert.Equal(t, watches[0].header, watches[i].header, w.name)
	}
	var want []string
	for i, w := range ways {
		events, clean := watches[i].rest()
		assert.True(t, clean, "%s: %v", w.name, watches[i].err)
		var kept []string
		for _, event := range events {
			if !strings.Contains(event, `"type":"BOOKMARK"`) {
				kept = append(kept, event)
				continue
			}
			// Whether there is one at the end is a matter of the moment; and they are as
			// new as the API server knows then.
			if strings.Contains(event, metav1.InitialEventsAnnotationKey) {
				kept = append(kept, versionOfBookmark.ReplaceAllString(event, ""))
			}
		}
		if want == nil {
			require.Len(t, kept, 7, "six objects, and the bookmark after them")
			want = kept
		}
		assert.Equal(t, want, kept, w.name)
	}
}

// TestAbandonedWatch: when a client leaves a watch on which nothing happens, the
// API server has one watch less.
func TestAbandonedWatch(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	// Nobody else watches these in one namespace.
	const resource = "podtemplates"
	for _, w := range ways {
		require.Zero(t, longRunning(t, resource))
		left := w.startWatch(t, "/api/v1/namespaces/"+namespace+"/"+resource+"?watch", nil)
		eventually(t, func() bool { return longRunning(t, resource) == 1 }, "the watch does not begin")
		began := time.Now()
		left.cancel()
		eventually(t, func() bool { return longRunning(t, resource) == 0 }, "%s: the watch goes on without the client", w.name)
		t.Logf("%s: gone after %s", w.name, time.Since(began).Round(time.Millisecond))
	}
}

// longRunning is how many watches of a resource in a namespace the target has.
func longRunning(t *testing.T, resource string) (count int) {
	t.Helper()
	set, err := kubernetes.NewForConfig(clusters.Target.RESTConfig())
	require.NoError(t, err)
	metrics, err := set.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	require.NoError(t, err)
	for line := range strings.Lines(string(metrics)) {
		if strings.HasPrefix(line, "apiserver_longrunning_requests{") &&
			strings.Contains(line, `resource="`+resource+`",scope="namespace"`) && strings.Contains(line, `verb="WATCH"`) {
			_, err := fmt.Sscanf(line[strings.LastIndexByte(line, ' '):], "%d", &count)
			require.NoError(t, err)
		}
	}
	return count
}
