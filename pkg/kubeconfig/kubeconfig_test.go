package kubeconfig_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

func entry(tb testing.TB, reference, address string) kubeconfig.Entry {
	tb.Helper()
	ref, err := connector.ParseReference(reference, "")
	require.NoError(tb, err)
	a, err := connector.ParseAddress(address)
	require.NoError(tb, err)
	return kubeconfig.Entry{Connector: ref, Address: a}
}

func load(t *testing.T, c kubeconfig.Config) *clientcmdapi.Config {
	t.Helper()
	data, err := c.Marshal()
	require.NoError(t, err)
	config, err := clientcmd.Load(data)
	require.NoError(t, err, "%s", data)
	require.NoError(t, clientcmd.Validate(*config))
	return config
}

func TestOneConnectorIsCalledK8s(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, kubeconfig.Write(path, kubeconfig.Config{
		Entries:          []kubeconfig.Entry{entry(t, "team-a/k8s-connector", "https://192.168.1.100:6443/kubernetes/global")},
		ProxyAddress:     "127.0.0.1:17443",
		LocalhostAddress: "127.0.0.1:17444",
		Token:            "temporary",
		CA:               []byte("ca"),
	}))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, `apiVersion: v1
kind: Config
clusters:
- name: "k8s"
  cluster:
    server: "https://192.168.1.100:6443/kubernetes/global"
    proxy-url: "http://team-a%2Fk8s-connector:temporary@127.0.0.1:17443"
    certificate-authority-data: "Y2E="
- name: "k8s-localhost"
  cluster:
    server: "https://127.0.0.1:17444/team-a/k8s-connector"
    certificate-authority-data: "Y2E="
users:
- name: "k8s"
  user:
    token: fake-token
- name: "k8s-localhost"
  user:
    token: "temporary"
contexts:
- name: "k8s"
  context:
    cluster: "k8s"
    user: "k8s"
- name: "k8s-localhost"
  context:
    cluster: "k8s-localhost"
    user: "k8s-localhost"
current-context: "k8s"
`, string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o444), info.Mode().Perm(), "apps have any UID")
}

func TestSeveralConnectorsAreCalledByTheirNames(t *testing.T) {
	config := load(t, kubeconfig.Config{
		Entries: []kubeconfig.Entry{
			entry(t, "team-a/blue", "https://blue.example"),
			entry(t, "team-a/green", "https://[2001:db8::1]:6443"),
			entry(t, "team-a/red", "https://red.example"),
			entry(t, "team-b/red", "https://red.example/b"),
		},
		ProxyAddress: "127.0.0.1:17443", LocalhostAddress: "127.0.0.1:17444", Token: "t", CA: []byte("ca"),
	})
	assert.Equal(t, "blue", config.CurrentContext)
	assert.Len(t, config.Contexts, 8)
	for name, server := range map[string]string{
		"blue": "https://blue.example", "green": "https://[2001:db8::1]:6443",
		"team-a/red": "https://red.example", "team-b/red": "https://red.example/b",
	} {
		require.Contains(t, config.Contexts, name)
		assert.Equal(t, server, config.Clusters[config.Contexts[name].Cluster].Server)
		assert.Equal(t, "fake-token", config.AuthInfos[config.Contexts[name].AuthInfo].Token)
	}
	for name, server := range map[string]string{
		"blue-localhost":       "https://127.0.0.1:17444/team-a/blue",
		"team-b/red-localhost": "https://127.0.0.1:17444/team-b/red",
	} {
		require.Contains(t, config.Contexts, name)
		cluster := config.Clusters[config.Contexts[name].Cluster]
		assert.Equal(t, server, cluster.Server)
		assert.Empty(t, cluster.ProxyURL)
		assert.Equal(t, "t", config.AuthInfos[config.Contexts[name].AuthInfo].Token)
	}
	assert.Equal(t, "http://team-a%2Fgreen:t@127.0.0.1:17443", config.Clusters["green"].ProxyURL)
}

func TestModeSaysWhichContextIsCurrent(t *testing.T) {
	one := []kubeconfig.Entry{entry(t, "team-a/blue", "https://blue.example")}
	two := []kubeconfig.Entry{one[0], entry(t, "team-a/red", "https://red.example")}
	for _, tc := range []struct {
		entries []kubeconfig.Entry
		mode    kubeconfig.Mode
		current string
	}{
		{one, kubeconfig.ModeProxy, "k8s"},
		{one, kubeconfig.ModeLocalhost, "k8s-localhost"},
		{two, kubeconfig.ModeProxy, "blue"},
		{two, kubeconfig.ModeLocalhost, "blue-localhost"},
	} {
		assert.Equal(t, tc.current, load(t, kubeconfig.Config{Entries: tc.entries, Mode: tc.mode}).CurrentContext)
	}
}

// A connector may be called as the second context of another.
func TestContextsHaveDifferentNames(t *testing.T) {
	for _, names := range [][]string{
		{"team-a/a", "team-a/a-localhost"},
		{"team-a/a-localhost", "team-a/a"},
		{"team-a/a", "team-b/a-localhost", "team-a/a-localhost-localhost"},
		{"team-a/a", "team-b/a", "team-a/a-localhost", "team-b/a-localhost"},
	} {
		var entries []kubeconfig.Entry
		for _, name := range names {
			entries = append(entries, entry(t, name, "https://api.example/"+name))
		}
		config := load(t, kubeconfig.Config{Entries: entries, LocalhostAddress: "127.0.0.1:17444"})
		assert.Len(t, config.Contexts, 2*len(names), names)
		var servers, want []string
		for name, c := range config.Contexts {
			assert.Equal(t, name, c.Cluster)
			assert.Equal(t, name, c.AuthInfo)
			servers = append(servers, config.Clusters[c.Cluster].Server)
		}
		for _, name := range names {
			want = append(want, "https://api.example/"+name, "https://127.0.0.1:17444/"+name)
		}
		assert.ElementsMatch(t, want, servers)
	}
	config := load(t, kubeconfig.Config{LocalhostAddress: "127.0.0.1:17444", Entries: []kubeconfig.Entry{
		entry(t, "team-a/a", "https://a.example"), entry(t, "team-a/a-localhost", "https://b.example"),
	}})
	assert.Equal(t, "https://b.example", config.Clusters["a-localhost"].Server, "a connector's own name is its own")
	assert.Equal(t, "https://127.0.0.1:17444/team-a/a", config.Clusters["a@localhost"].Server)
}

func TestNoConnectorIsAnError(t *testing.T) {
	_, err := kubeconfig.Config{}.Marshal()
	require.Error(t, err)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.Error(t, kubeconfig.Write(path, kubeconfig.Config{}))
	assert.NoFileExists(t, path)
}

// Whatever the names are, a kubeconfig says what it was told and nothing else.
func FuzzMarshal(f *testing.F) {
	f.Add("team-a", "blue", "token", []byte("ca"))
	f.Add("a\"\nusers: []", "b\\", "\u2028\x7f", []byte{0, 0xff})
	f.Add("'", "%2f: {}", "#", []byte(nil))
	f.Fuzz(func(t *testing.T, namespace, name, token string, ca []byte) {
		one := kubeconfig.Entry{Connector: connector.Reference{Namespace: namespace, Name: name}}
		one.Address, _ = connector.ParseAddress("https://api.example:6443")
		two := one
		two.Connector.Name += "-2"
		data, err := kubeconfig.Config{
			Entries: []kubeconfig.Entry{one, two}, ProxyAddress: "127.0.0.1:17443", LocalhostAddress: "127.0.0.1:17444", Token: token, CA: ca,
		}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.Load(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if len(config.Clusters) != 4 || len(config.AuthInfos) != 4 || len(config.Contexts) != 4 {
			t.Fatalf("more or less than four of each:\n%s", data)
		}
		cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
		if string(cluster.CertificateAuthorityData) != string(ca) || cluster.Server != "https://api.example:6443" {
			t.Fatalf("not what it was told:\n%s", data)
		}
	})
}
