package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLogs: what a container prints comes through the sidecar as it comes directly:
// what there is, and what follows, each line when it is printed.
func TestLogs(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Home)
	pod := sleeper(makeNamespace(t, home, nil))
	pod.Annotations, pod.GenerateName, pod.Name = nil, "", "talker"
	pod.Spec.Containers[0].Command = []string{"sh", "-c", "mkfifo /tmp/say; echo one; echo two; while true; do cat /tmp/say; done"}
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	eventually(t, func() bool { return logs(t, pod, "app") == "one\ntwo\n" }, "it prints nothing")
	const log = core + "/pods/talker/log"
	compare(t, toursIn(ways, pod.Namespace), []request{
		{name: "log", path: log, status: http.StatusOK},
		{name: "log, timestamps", path: log + "?timestamps=true", status: http.StatusOK},
		{name: "log, tail", path: log + "?tailLines=1", status: http.StatusOK},
		{name: "log, bytes", path: log + "?limitBytes=5", status: http.StatusOK},
		{name: "log, compressed", path: log, header: map[string]string{"Accept-Encoding": "gzip"}, status: http.StatusOK},
		{name: "log of no container", path: log + "?container=none", status: http.StatusBadRequest},
		{name: "log of an earlier container", path: log + "?previous=true", status: http.StatusBadRequest},
	})

	followers := make([]*watch, len(ways))
	for i, w := range ways {
		followers[i] = w.startWatch(t, "/api/v1/namespaces/"+pod.Namespace+"/pods/talker/log?follow=true", nil)
		assert.Equal(t, followers[0].header, followers[i].header, w.name)
	}
	for _, line := range []string{"one", "two", "three", "four"} {
		if line != "one" && line != "two" {
			output, err := execute(t, pod, "app", "", "sh", "-c", "echo "+line+" > /tmp/say")
			require.NoError(t, err, output)
		}
		for i, w := range ways {
			// The next line is not printed before this one has come on all ways.
			assert.Equal(t, line+"\n", followers[i].next(t), w.name)
		}
	}
	require.NoError(t, home.Delete(t.Context(), pod))
	for i, w := range ways {
		rest, clean := followers[i].rest()
		assert.Empty(t, rest, w.name)
		assert.True(t, clean, "%s: %v", w.name, followers[i].err)
	}
}
