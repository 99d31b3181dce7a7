package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	bulkObjects = 100
	bulkSize    = 1_000_000
	// bulkMemory is what a sidecar may need while it passes all of that on to a
	// client that does not read.
	bulkMemory = 64 << 20
)

// TestBulk: a list of 100 MB arrives whole, also at a client that stops reading in
// between. The sidecar keeps none of it, and goes on serving others.
func TestBulk(t *testing.T) {
	t.Parallel()
	ways, sidecar := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	path := "/api/v1/namespaces/" + namespace + "/configmaps?resourceVersionMatch=Exact&resourceVersion=" + makeBulk(t, namespace)

	var want string
	for _, w := range ways {
		body := w.open(t, path)
		hash := sha256.New()
		if w.name != "direct" {
			_, err := io.CopyN(hash, body, 1<<20)
			require.NoError(t, err)
			// What the sidecar takes without a reader, it has taken when it reads no more.
			taken := int64(-1)
			eventually(t, func() bool {
				before := taken
				taken = sidecar.counter(t, "io", "rchar")
				return taken == before
			}, "the sidecar goes on reading for a client that does not")
			version := w.open(t, "/version")
			_, err = io.Copy(io.Discard, version)
			require.NoError(t, err)
		}
		length, err := io.Copy(hash, body)
		require.NoError(t, err, w.name)
		require.Greater(t, length, int64(bulkObjects*bulkSize-1<<20))
		got := hex.EncodeToString(hash.Sum(nil))
		if want == "" {
			want = got
		}
		assert.Equal(t, want, got, w.name)
	}
	peak := sidecar.counter(t, "status", "VmHWM") << 10
	t.Logf("the sidecar's peak is %d MiB", peak>>20)
	assert.Less(t, peak, int64(bulkMemory))
}

// open is the body of a response.
func (w *way) open(t *testing.T, path string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.config.Host+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+w.config.BearerToken)
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp.Body
}

// counter is a number that the kernel keeps for the sidecar, in a file of /proc.
func (s *localSidecar) counter(t *testing.T, file, name string) int64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.process.Pid, file))
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^` + name + `:\s*(\d+)`).FindSubmatch(content)
	require.NotNil(t, found)
	number, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return number
}

// makeBulk makes objects that are 100 MB together, and returns the resourceVersion
// at which they are there.
func makeBulk(t *testing.T, namespace string) (at string) {
	t.Helper()
	config := clusters.Target.RESTConfig()
	config.ContentType, config.DisableCompression = asProtobuf, true
	set, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	text := randomText(bulkSize)
	var wait sync.WaitGroup
	for worker := range 2 {
		wait.Go(func() {
			for i := range bulkObjects / 2 {
				_, err := set.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bulk-%d-%d", worker, i)},
					Data:       map[string]string{"data": fmt.Sprint(worker, i, text)},
				}, metav1.CreateOptions{})
				assert.NoError(t, err)
			}
		})
	}
	wait.Wait()
	list, err := set.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, bulkObjects, *list.RemainingItemCount, "and kube-root-ca.crt")
	return list.ResourceVersion
}

// TestTooLarge: the API server refuses a body before it has read it, and a client
// that is still sending learns why.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	compare(t, toursIn(ways, namespace), []request{
		{name: "length told", method: http.MethodPost, path: objects, header: sends("application/json"),
			body: configMap("x", strings.Repeat(" ", 8<<20)), status: http.StatusRequestEntityTooLarge},
		{name: "length unknown", method: http.MethodPost, path: objects, header: sends("application/json"), chunked: true,
			body: configMap("x", strings.Repeat(" ", 8<<20)), status: http.StatusRequestEntityTooLarge},
	})
}
