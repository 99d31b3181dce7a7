package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

var _ = declare(attack{
	name: "debugger_attach", actor: debugger, outcome: prevented,
	tries: "attaches to the sidecar",
	what:  "it is refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		request := mallory.set.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name(s.victim.Name).SubResource("attach").
			VersionedParams(&corev1.PodAttachOptions{Container: sidecar, Stdout: true, Stderr: true}, clientgoscheme.ParameterCodec)
		executor, err := remotecommand.NewSPDYExecutor(mallory.config, "POST", request.URL())
		require.NoError(t, err)
		refused(t, executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &s.seen, Stderr: &s.seen}))
	},
})
