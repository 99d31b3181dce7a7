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
		Entries:      []kubeconfig.Entry{entry(t, "team-a/k8s-connector", "https://192.168.1.100:6443/kubernetes/global")},
		ProxyAddress: "127.0.0.1:17443",
		ProxyToken:   "temporary",
		CA:           []byte("ca"),
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
users:
- name: "k8s"
  user:
    token: fake-token
contexts:
- name: "k8s"
  context:
    cluster: "k8s"
    user: "k8s"
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
		ProxyAddress: "127.0.0.1:17443", ProxyToken: "t", CA: []byte("ca"),
	})
	assert.Equal(t, "blue", config.CurrentContext)
	for name, server := range map[string]string{
		"blue": "https://blue.example", "green": "https://[2001:db8::1]:6443",
		"team-a/red": "https://red.example", "team-b/red": "https://red.example/b",
	} {
		require.Contains(t, config.Contexts, name)
		assert.Equal(t, server, config.Clusters[config.Contexts[name].Cluster].Server)
		assert.Equal(t, "fake-token", config.AuthInfos[config.Contexts[name].AuthInfo].Token)
	}
	assert.Equal(t, "http://team-a%2Fgreen:t@127.0.0.1:17443", config.Clusters["green"].ProxyURL)
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
			Entries: []kubeconfig.Entry{one, two}, ProxyAddress: "127.0.0.1:17443", ProxyToken: token, CA: ca,
		}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.Load(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if len(config.Clusters) != 2 || len(config.AuthInfos) != 2 || len(config.Contexts) != 2 {
			t.Fatalf("more or less than two of each:\n%s", data)
		}
		cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
		if string(cluster.CertificateAuthorityData) != string(ca) || cluster.Server != "https://api.example:6443" {
			t.Fatalf("not what it was told:\n%s", data)
		}
	})
}
