package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The kubelet ends the sidecar last, and takes anything but 0 for a failure of the
// Pod. Streams that do not end are cut when their time is over.
func TestTermWithOpenStreams(t *testing.T) {
	url, ca := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the first event\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	p := newPlace(t, "team-a/cluster="+url)
	p.swap("..1", map[string]string{"token": "one", "ca.crt": ca})
	cmd := p.run()
	var streams []*bufio.Reader
	for context, server := range map[string]string{"k8s": url, "k8s-localhost": "https://127.0.0.1:" + p.localhostPort + "/team-a/cluster"} {
		resp, err := p.clientOf(context).Get(server + "/api/v1/pods?watch=1")
		require.NoError(t, err)
		defer resp.Body.Close()
		streams = append(streams, bufio.NewReader(resp.Body))
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	for _, stream := range streams {
		line, err := stream.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "the first event\n", line)
		_, err = stream.ReadByte()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "what was cut must not look like the end")
	}
	require.NoError(t, cmd.Wait(), "exit code 0")
	assert.Contains(t, p.log.String(), `"msg":"drained","complete":false`)
}

// At info there is a line for what happens to the sidecar and none for requests; each
// is JSON.
func TestLogAtInfo(t *testing.T) {
	url, ca := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+url)
	p.more = []string{"--log-level=info"}
	p.swap("..1", map[string]string{"token": "token-1", "ca.crt": ca})
	cmd := p.run()
	require.Contains(t, p.get(p.client(), url), "token-1")
	p.swap("..2", map[string]string{"token": "token-2", "ca.crt": ca})
	require.Eventually(t, func() bool { return strings.Contains(p.get(p.client(), url), "token-2") }, patience, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "exit code 0")

	var said []string
	for line := range strings.Lines(p.log.String()) {
		var entry struct{ Time, Level, Msg string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		assert.NotEmpty(t, entry.Time, line)
		assert.Equal(t, "INFO", entry.Level, line)
		said = append(said, entry.Msg)
	}
	assert.Equal(t, []string{"credential loaded", "ready", "credential loaded", "drained", "stopped"}, said)
}
