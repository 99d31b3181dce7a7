package attacks

import (
	"context"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "debugger_copy", actor: debugger, outcome: prevented,
	tries: "makes a copy of the Pod to debug: kubectl debug --copy-to, with shared processes and without",
	what:  "with shared processes it is refused; without, the copy has an intact sidecar",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		config := mallory.kubeconfig(t)
		debug := func(args ...string) string {
			args = append([]string{"--kubeconfig", config, "-n", s.namespace, "debug", s.victim.Name, "--image=" + attackerImage, "--profile=general", "--attach=false"}, args...)
			output, err := exec.CommandContext(t.Context(), bed.Clusters.Kubectl, append(args, "--", "sleep", "3600")...).CombinedOutput()
			s.sees(string(output), err)
			return string(output)
		}
		assert.Regexp(t, "denied (the )?request", debug("--copy-to=copy-shared", "--share-processes=true"))
		output := debug("--copy-to=copy", "--share-processes=false", "--container=debugger")
		t.Cleanup(func() {
			copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "copy", Namespace: s.namespace}}
			assert.NoError(t, client.IgnoreNotFound(bed.Home.Delete(context.WithoutCancel(t.Context()), copied)))
		})
		assert.NotContains(t, output, "denied")
		copied := bed.AwaitPod(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "copy", Namespace: s.namespace}}, "running", bed.Running)
		assert.Empty(t, bed.Search(t, copied, "debugger", s.patterns()...))
	},
})
