package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// TestOldKubectl: the first kubectl that knows proxy-url, which speaks SPDY only,
// does in either mode what people do with it. One thing it cannot do at an API that
// is below a path, as on the localhost port, is get --raw: it forgets the path.
func TestOldKubectl(t *testing.T) {
	t.Parallel()
	program, err := cluster.OldKubectl(t.Context(), os.Stderr)
	require.NoError(t, err)
	_, sidecar := waysTo(t, clusters.Home)
	pod := sleeper(makeNamespace(t, home, nil))
	pod.Annotations, pod.GenerateName, pod.Name = nil, "", "server"
	pod.Spec.Containers[0].Command = []string{"sh", "-c", "echo hello; mkdir /tmp/www; echo a page > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"}
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kubectl := func(args ...string) *exec.Cmd {
				return sidecar.kubectl(t, program, name, append([]string{"--namespace", pod.Namespace}, args...)...)
			}
			for _, test := range []struct {
				args []string
				want string
				code int
			}{
				{[]string{"version"}, `Client Version: .*v1\.19\.(.|\n)*Server Version: .*v1\.36\.`, 0},
				{[]string{"get", "pods"}, `server +1/1 +Running`, 0},
				{[]string{"describe", "pod", "server"}, `IP: +10\.`, 0},
				{[]string{"logs", "server"}, `^hello\n$`, 0},
				{[]string{"exec", "server", "--", "hostname"}, `^server\n$`, 0},
				{[]string{"exec", "server", "--", "sh", "-c", "exit 7"}, `exit code 7`, 7},
				{[]string{"label", "pod", "server", "way=" + name, "--overwrite"}, `labeled`, 0},
			} {
				output, err := kubectl(test.args...).CombinedOutput()
				code := 0
				if exit := (*exec.ExitError)(nil); assert.True(t, err == nil || assert.ErrorAs(t, err, &exit)) && exit != nil {
					code = exit.ExitCode()
				}
				assert.Equal(t, test.code, code, test.args)
				assert.Regexp(t, test.want, string(output), test.args)
			}
			copyThereAndBack(t, pod, kubectl)
			assert.Equal(t, "a page\n", fetch(forwardWith(t, kubectl("port-forward", "server", ":8080"))))
		})
	}
}

// forwardWith runs a port-forward until the test ends, and returns the address that
// it says it has.
func forwardWith(t *testing.T, cmd *exec.Cmd) (address string) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	found := regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`).FindStringSubmatch(line)
	require.NotNil(t, found, line)
	return found[1]
}
