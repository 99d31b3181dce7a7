package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Whoever makes a Pod can write the arguments of its containers.
func TestTokenDoesNotGoWhereOnlyTheArgumentsSay(t *testing.T) {
	trap, trapCA := newUpstream(t)
	right, ca := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+trap)
	p.more = []string{"--unsealed=false"}
	for i, files := range []map[string]string{
		{"token": "one"},
		{"token": "one", "ca.crt": trapCA},
	} {
		p.swap(fmt.Sprint("..", i), files)
		if i == 0 {
			p.run()
		}
		for _, context := range []string{"", "k8s-localhost"} {
			client, url := p.client(), trap
			if context != "" {
				client, url = p.clientOf(context), "https://127.0.0.1:"+p.localhostPort+"/team-a/cluster"
			}
			answer := p.get(client, url)
			assert.Contains(t, answer, "the controller has not confirmed the address")
			assert.NotContains(t, answer, "one")
		}
	}
	address, err := connector.ParseAddress(right)
	require.NoError(t, err)
	ref := connector.Reference{Namespace: "team-a", Name: "cluster"}
	p.swap("..3", map[string]string{"token": "one", "ca.crt": ca, "address": right, "seal": connector.Seal("one", ref, address, []byte(ca))})
	// Clients ask for the address of the arguments, and are served from the other.
	client := p.client()
	want := strings.TrimPrefix(right, "https://") + " Bearer one"
	require.Eventually(t, func() bool { return p.get(client, trap) == want }, patience, 5*time.Millisecond)
}

func TestUnsealedIsForOutsideOfPods(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
	_, err := parseOptions([]string{"--unsealed", "--connector=team-a/x=https://a"}, io.Discard)
	require.ErrorContains(t, err, "outside of Pods")
}

func TestRunInAPodIsForTheEntrypointOnly(t *testing.T) {
	p := newPlace(t, "team-a/cluster=https://api.example")
	cmd := sidecar(t, []string{"KUBERNETES_SERVICE_HOST=192.0.2.1"}, p.args()...)
	output, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, 1, cmd.ProcessState.ExitCode())
	assert.Contains(t, string(output), "has to be process 1")
	assert.NoFileExists(t, p.kubeconfig)
}
