package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// newInClusterPlace is a place whose sidecar serves in-cluster clients, too.
func newInClusterPlace(t *testing.T, connectors ...string) (p *place, dir string) {
	t.Helper()
	p, dir = newPlace(t, connectors...), t.TempDir()
	p.more = []string{"--in-cluster-port=" + p.free, "--in-cluster-dir=" + dir}
	return p, dir
}

// inClusterFiles are what an in-cluster client finds, by name.
func inClusterFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o444), info.Mode(), "apps have any UID")
		files[entry.Name()] = string(content)
	}
	return files
}

// inClusterClient is a client as rest.InClusterConfig makes it, which knows one
// directory only.
func (p *place) inClusterClient(dir string) *http.Client {
	p.t.Helper()
	client, err := rest.HTTPClientFor(&rest.Config{
		BearerTokenFile: filepath.Join(dir, "token"), TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
	})
	require.NoError(p.t, err)
	p.t.Cleanup(client.CloseIdleConnections)
	client.Timeout = patience
	return client
}

func TestInClusterClientsAreServed(t *testing.T) {
	url, ca := newUpstream(t)
	p, dir := newInClusterPlace(t, "team-a/cluster="+url)
	p.swap("..1", map[string]string{"token": "one", "ca.crt": ca})
	cmd := p.run()
	files := inClusterFiles(t, dir)
	assert.Len(t, files, 3)
	assert.Equal(t, "team-a", files["namespace"])
	assert.NotContains(t, p.log.String(), files["token"])

	client, want := p.inClusterClient(dir), strings.TrimPrefix(url, "https://")+" Bearer one"
	assert.Equal(t, want, p.get(client, "https://127.0.0.1:"+p.free))
	assert.Equal(t, want, p.get(p.client(), url), "the kubeconfig is there as ever")

	// Clients that run have read the files of the killed process.
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	client.CloseIdleConnections()
	p.run()
	assert.Equal(t, files, inClusterFiles(t, dir))
	assert.Equal(t, want, p.get(client, "https://127.0.0.1:"+p.free))
}

func TestInClusterIsOffByDefault(t *testing.T) {
	p := newPlace(t, "team-a/cluster=https://api.example")
	dir := t.TempDir()
	p.more = []string{"--in-cluster-dir=" + dir}
	p.run()
	assert.Empty(t, inClusterFiles(t, dir))
}

func TestNotReadyBeforeTheInClusterFiles(t *testing.T) {
	p, dir := newInClusterPlace(t, "team-a/cluster=https://api.example")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "namespace", "in-the-way"), 0o755))
	output, err := sidecar(t, nil, p.args()...).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), filepath.Join(dir, "namespace"))
	assert.NoFileExists(t, filepath.Join(p.state, readySocket))
}

func TestTakenInClusterPortIsExplained(t *testing.T) {
	p, _ := newInClusterPlace(t, "team-a/cluster=https://api.example")
	l, err := net.Listen("tcp", "127.0.0.1:"+p.free)
	require.NoError(t, err)
	defer l.Close()
	output, err := sidecar(t, nil, p.args()...).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), "127.0.0.1:"+p.free)
	assert.Contains(t, string(output), "connectors.alauda.io/proxy-port")
}
