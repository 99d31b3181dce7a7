package e2e

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// way is how a client reaches an API server: straight, or through a sidecar in
// one of its modes.
type way struct {
	// name is "direct", or that of a context of the sidecar's kubeconfig.
	name string
	// config is without client-side rate limits.
	config *rest.Config
	// client speaks HTTP/1.1 as the sidecar does, decodes nothing, follows no
	// redirect, and sends no body before a 100 that it has asked for.
	client *http.Client
}

// waysTo are the ways to an API server, the direct one first, then those through a
// sidecar on this machine. On all of them a client is the same cluster admin with
// the same token, or the answers could not be compared.
func waysTo(t *testing.T, api *cluster.API) ([]*way, *localSidecar) {
	t.Helper()
	admin := target
	if api == clusters.Home {
		admin = home
	}
	token := newIdentity(t, admin, "cluster-admin").Token(t)
	sidecar := startSidecar(t, api.Address, api.CA, token)
	ways := []*way{newWay(t, "direct", &rest.Config{
		Host: api.Address, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: api.CA},
	})}
	for _, name := range contexts {
		ways = append(ways, newWay(t, name, sidecar.restConfig(t, name)))
	}
	return ways, sidecar
}

func newWay(t *testing.T, name string, config *rest.Config) *way {
	t.Helper()
	config.QPS = -1
	tlsConfig, err := rest.TLSConfigFor(config)
	require.NoError(t, err)
	transport := &http.Transport{
		Proxy:                 config.Proxy,
		TLSClientConfig:       tlsConfig,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
		DisableCompression:    true,
		ExpectContinueTimeout: patience,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &way{name: name, config: config, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// set is a client of the way as applications have it.
func (w *way) set(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	set, err := kubernetes.NewForConfig(w.config)
	require.NoError(t, err)
	return set
}
