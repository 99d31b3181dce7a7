package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "debugger_exec", actor: debugger, outcome: prevented,
	tries: "runs a command in the sidecar, over both protocols",
	what:  "it is refused; in other containers it is allowed",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		output, err := bed.ExecuteAs(t, mallory.config, s.victim, "app", "", "echo", "inside")
		require.NoError(t, err, output)
		output, err = bed.ExecuteAs(t, mallory.config, s.victim, sidecar, "", "/sidecar", "wait")
		s.sees(output, err)
		refused(t, err)
		request := mallory.set.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name(s.victim.Name).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: sidecar, Command: []string{"/sidecar", "wait"}, Stdout: true}, clientgoscheme.ParameterCodec)
		executor, err := remotecommand.NewSPDYExecutor(mallory.config, "POST", request.URL())
		require.NoError(t, err)
		refused(t, executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &s.seen}))
	},
})
