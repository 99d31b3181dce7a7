package setup_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/kube-connector/kube-connector/internal/setup"
)

func TestOldClusterIsRefused(t *testing.T) {
	for version, want := range map[string]string{
		"v1.29.14":        "the cluster runs Kubernetes v1.29.14; at least 1.30 is needed, for native sidecars: upgrade the cluster",
		"v1.28.0-eks-123": "at least 1.30 is needed",
		"nonsense":        `the API server says its version is "nonsense"`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"gitVersion":%q}`, version)
		}))
		require.ErrorContains(t, setup.CheckVersion(&rest.Config{Host: server.URL}), want)
		server.Close()
	}
	for _, version := range []string{"v1.30.0", "v1.30.1-gke.100", "v1.36.3+k3s1", "v2.0.0"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"gitVersion":%q}`, version)
		}))
		require.NoError(t, setup.CheckVersion(&rest.Config{Host: server.URL}), version)
		server.Close()
	}
}
