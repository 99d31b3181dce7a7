package setup_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/internal/setup"
)

// A program that comes up while the API server is away is alive and not ready,
// says why, and goes on when it is back.
func TestWaitsForTheAPIServer(t *testing.T) {
	var version atomic.Value
	version.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if version.Load() == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"gitVersion":%q}`, version.Load())
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"clusters":[{"name":"c","cluster":{"server":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}`, server.URL), 0o600))
	t.Setenv(clientcmd.RecommendedConfigPathEnvVar, path)

	for answer, want := range map[string]string{"v1.36.3": "", "v1.29.0": "at least 1.30 is needed"} {
		version.Store("")
		health := freeAddress(t)
		ended := make(chan error, 1)
		go func() {
			_, err := setup.Cluster(t.Context(), health)
			ended <- err
		}()
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			status, _ := get(t, "http://"+health+"/healthz")
			assert.Equal(t, http.StatusOK, status)
			status, body := get(t, "http://"+health+"/readyz")
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.Contains(t, body, "the API server does not answer: asking for its version")
		}, 10*time.Second, 20*time.Millisecond)
		require.Empty(t, ended)

		version.Store(answer)
		err := <-ended
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
		listener, err := net.Listen("tcp", health)
		require.NoError(t, err, "the address is free for the manager")
		require.NoError(t, listener.Close())
	}
}

func get(t require.TestingT, url string) (status int, body string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	content, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	return response.StatusCode, string(content)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
