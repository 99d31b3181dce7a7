package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Runners that cannot be had here are stood in for by the Pods that they make,
// and by what they do with them.

const (
	// jobScript is what a person's job says in these Pods.
	jobScript = "env\nkubectl auth whoami\n"
	failing   = "kubectl create namespace not-allowed || exit 42\n"
)

// TestRunnerGitLab does what the Kubernetes executor of GitLab Runner 19.4 does:
// a Pod with init-permissions, build and helper, whose shells wait on their
// standard input. The runner attaches to them, one after the other, to hand in
// the scripts of a job, reads what they print from a file that the containers
// share, and deletes the Pod when the job has ended.
func TestRunnerGitLab(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	shell := func(name string) corev1.Container {
		return corev1.Container{Name: name, Image: docsImage, Command: []string{"sh"}, Stdin: true}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "runner-t1-project-1-concurrent-0-", Namespace: team.namespace, Annotations: gitLabAnnotations(t),
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64),
			InitContainers: []corev1.Container{{
				Name: "init-permissions", Image: docsImage,
				Command: []string{"sh", "-c", "touch /logs-1-1/output.log && chmod 777 /logs-1-1/output.log"},
			}},
			Containers: []corev1.Container{shell("build"), shell("helper")},
		},
	}
	shareVolume(pod, "logs", "/logs-1-1")
	shareVolume(pod, "repo", "/builds")
	create(t, home, pod)
	// The runner waits for these two and looks at no others.
	awaitPod(t, pod, "ready", func(p *corev1.Pod) bool { return ready(p, "build") && ready(p, "helper") })

	attach(t, pod, "helper", "echo prepared > /builds/stage\n")
	attach(t, pod, "build", "(cat /builds/stage\n"+jobScript+failing+") >> /logs-1-1/output.log 2>&1; echo command_exit_code $? >> /logs-1-1/output.log\n")
	var output string
	eventually(t, func() bool {
		var err error
		output, err = execute(t, pod, "helper", "", "cat", "/logs-1-1/output.log")
		require.NoError(t, err)
		return strings.Contains(output, "command_exit_code")
	}, "the job does not end; its log is %s", &output)
	assert.Contains(t, output, "prepared")
	assert.Contains(t, output, team.user)
	assert.Contains(t, output, "command_exit_code 42", "the script's own exit code")
	assert.NotContains(t, output, team.token)
	team.assertTokenNowhere(t)
	removed(t, pod)
}

// TestRunnerARC does what Actions Runner Controller 0.27.6 does with a runner
// scale set: the Pod of an EphemeralRunner is the template of its values, with the
// configuration that GitHub has for this one runner. It looks at how the
// container runner ends, and at no other.
func TestRunnerARC(t *testing.T) {
	t.Parallel()
	var values struct {
		Template corev1.PodTemplateSpec `json:"template"`
	}
	readSample(t, "arc-values.yaml", &values)
	for _, test := range []struct {
		name   string
		script string
		want   int32
		phase  corev1.PodPhase
	}{
		{"succeeds", jobScript, 0, corev1.PodSucceeded},
		{"fails", jobScript + failing, 42, corev1.PodFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			team := newTeam(t)
			create(t, home, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "scale-set-runner", Namespace: team.namespace},
				StringData: map[string]string{"jitToken": "from GitHub"},
			})
			pod := &corev1.Pod{ObjectMeta: *values.Template.ObjectMeta.DeepCopy(), Spec: *values.Template.Spec.DeepCopy()}
			pod.Namespace, pod.Name = team.namespace, "scale-set-runner"
			pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			runner := &pod.Spec.Containers[0]
			require.Equal(t, "runner", runner.Name)
			runner.Command = []string{"sh", "-c", test.script}
			runner.Env = append(runner.Env, corev1.EnvVar{Name: "ACTIONS_RUNNER_INPUT_JITCONFIG", ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "scale-set-runner"}, Key: "jitToken"},
			}})
			create(t, home, pod)
			awaitEnd(t, pod, test.phase)
			assert.Equal(t, test.want, exitCode(t, pod, "runner"))
			assert.Contains(t, logs(t, pod, "runner"), team.user)
			team.assertTokenNowhere(t)
		})
	}
}

// TestRunnerARCJobPod does what runner-container-hooks do with containerMode
// kubernetes: they make a Pod for the job, on the runner's own node without
// asking the scheduler, with the hook template merged in, and execute the steps
// in its container job.
func TestRunnerARCJobPod(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	var template corev1.PodTemplateSpec
	readSample(t, "arc-hook-template.yaml", &template)
	require.Equal(t, "$job", template.Spec.Containers[0].Name)
	var nodes corev1.NodeList
	require.NoError(t, home.List(t.Context(), &nodes))
	require.Len(t, nodes.Items, 1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "scale-set-runner-workflow", Namespace: team.namespace, Annotations: template.Annotations,
			Labels: map[string]string{"runner-pod": "scale-set-runner"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, NodeName: nodes.Items[0].Name,
			Containers: []corev1.Container{{Name: "job", Image: docsImage, Command: []string{"tail"}, Args: []string{"-f", "/dev/null"}}},
		},
	}
	create(t, home, pod)
	awaitPod(t, pod, "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	assertSteps(t, team, pod, "job")
}

// TestRunnerJenkins does what the Kubernetes plugin of Jenkins does: it adds the
// agent's container to the template, waits until all containers run, and
// executes the steps of container("kubectl") { sh … } in that one.
func TestRunnerJenkins(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	pod := &corev1.Pod{}
	readSample(t, "jenkins-pod.yaml", pod)
	pod.Namespace, pod.Name = team.namespace, "deploy-1-abcde-fghij"
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: "jnlp", Image: docsImage, Command: []string{"tail", "-f", "/dev/null"},
		Env: []corev1.EnvVar{{Name: "JENKINS_SECRET", Value: "from Jenkins"}},
	})
	shareVolume(pod, "workspace-volume", "/home/jenkins/agent")
	create(t, home, pod)
	awaitPod(t, pod, "ready", func(p *corev1.Pod) bool { return ready(p, "kubectl") && ready(p, "jnlp") })
	assertSteps(t, team, pod, "kubectl")
}

// assertSteps executes steps in a container as runners do that keep a Pod
// waiting, and deletes the Pod.
func assertSteps(t *testing.T, team *team, pod *corev1.Pod, container string) {
	t.Helper()
	output, err := execute(t, pod, container, "", "sh", "-c", jobScript)
	require.NoError(t, err, output)
	assert.Contains(t, output, team.user)
	assert.NotContains(t, output, team.token)
	_, err = execute(t, pod, container, "", "sh", "-c", failing)
	var ended exec.CodeExitError
	require.ErrorAs(t, err, &ended)
	assert.Equal(t, 42, ended.Code, "the step's own exit code")
	team.assertTokenNowhere(t)
	removed(t, pod)
}

// removed deletes a Pod as runners do, at once, and waits until it is gone.
func removed(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	require.NoError(t, home.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	eventually(t, func() bool {
		return apierrors.IsNotFound(home.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}))
	}, "the Pod stays")
}

func ready(pod *corev1.Pod, container string) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container && s.Ready })
}

// shareVolume mounts an empty directory into all containers of a Pod.
func shareVolume(pod *corev1.Pod, name, path string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	mount := corev1.VolumeMount{Name: name, MountPath: path}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			containers[i].VolumeMounts = append(containers[i].VolumeMounts, mount)
		}
	}
}

// attach hands a container's shell something to do. It returns when the shell has
// it, not when it is done.
func attach(t *testing.T, pod *corev1.Pod, container, script string) {
	t.Helper()
	request := homeSet.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("attach").
		VersionedParams(&corev1.PodAttachOptions{Container: container, Stdin: true}, clientgoscheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(clusters.Home.RESTConfig(), "GET", request.URL().String())
	require.NoError(t, err)
	require.NoError(t, executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(script)}))
}

func readSample(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(samples, file))
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(content, into))
}

var tomlString = regexp.MustCompile(`(?m)^\s*"([^"]+)" = "([^"]+)"$`)

// gitLabAnnotations reads runners.kubernetes.pod_annotations.
func gitLabAnnotations(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(samples, "gitlab-runner.toml"))
	require.NoError(t, err)
	_, table, found := strings.Cut(string(content), "[runners.kubernetes.pod_annotations]")
	require.True(t, found, "the sample has no pod_annotations")
	annotations := map[string]string{}
	for _, match := range tomlString.FindAllStringSubmatch(table, -1) {
		annotations[match[1]] = match[2]
	}
	return annotations
}
