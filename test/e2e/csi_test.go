package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// documentedJob is the Job of the published quick start, word for word.
const documentedJob = `
apiVersion: batch/v1
kind: Job
metadata:
  name: k8s-access
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: kubectl
        image: bitnami/kubectl:1.30.1 # Replace with your image contains kubectl
        imagePullPolicy: IfNotPresent
        env:
        - name: KUBECONFIG
          value: /opt/kube/kubeconfig
        command:
        - "kubectl"
        args: [ "get", "pods", "-v=5", "--all-namespaces" ]  # Replace with your kubectl operations
        volumeMounts:
        - name: kubeconfig
          mountPath: /opt/kube
      volumes:
      - name: kubeconfig
        csi:
          readOnly: true
          driver: connectors-csi
          volumeAttributes:
            connector.name: "k8s-connector"
            configuration.names: "kubeconfig"
`

// documentedPod is the Pod of the published quick start that stays for a look
// inside, word for word.
const documentedPod = `
apiVersion: v1
kind: Pod
metadata:
  name: inspect-k8s-access
spec:
  restartPolicy: Never
  containers:
  - name: kubectl
    image: bitnami/kubectl:1.30.1 # Replace with your image contains kubectl
    command: ["sleep", "3600"]
    env:
    - name: KUBECONFIG
      value: /opt/kube/kubeconfig
    volumeMounts:
    - name: kubeconfig
      mountPath: /opt/kube
  volumes:
  - name: kubeconfig
    csi:
      readOnly: true
      driver: connectors-csi
      volumeAttributes:
        connector.name: "k8s-connector"
        configuration.names: "kubeconfig"
`

// tektonPod is what Tekton makes of a TaskRun with the published csi workspace:
// it names the volume and mounts it writable where it likes.
const tektonPod = `
apiVersion: v1
kind: Pod
metadata:
  name: k8s-connector-demo-pod
  labels: {app.kubernetes.io/managed-by: tekton-pipelines, tekton.dev/taskRun: k8s-connector-demo}
spec:
  restartPolicy: Never
  initContainers:
  - name: prepare
    image: bitnami/kubectl:1.30.1
    command: [cp, /bin/busybox, /tekton/bin/entrypoint]
    volumeMounts:
    - {name: tekton-internal-bin, mountPath: /tekton/bin}
  containers:
  - name: step-kubectl
    image: bitnami/kubectl:1.30.1
    workingDir: /workspace
    command: [sh, -c, "kubectl --kubeconfig $PWD/kubeconfig/kubeconfig get namespaces -o name"]
    volumeMounts:
    - {name: tekton-internal-bin, mountPath: /tekton/bin, readOnly: true}
    - {name: tekton-internal-workspace, mountPath: /workspace}
    - {name: ws-7hxkb, mountPath: /workspace/kubeconfig, readOnly: false}
  volumes:
  - {name: tekton-internal-bin, emptyDir: {}}
  - {name: tekton-internal-workspace, emptyDir: {}}
  - name: ws-7hxkb
    csi:
      driver: connectors-csi
      readOnly: true
      volumeAttributes:
        connector.name: k8s-connector
        connector.namespace: ""
        configuration.names: "kubeconfig"
`

// manifest reads a manifest into an object of the namespace. The image, which
// this cluster cannot pull, is replaced.
func manifest(t *testing.T, text, namespace string, object client.Object) {
	t.Helper()
	text = strings.ReplaceAll(text, "bitnami/kubectl:1.30.1", cluster.ToolboxImage)
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), object))
	object.SetNamespace(namespace)
}

// newTenant is a namespace without any label of ours, with k8s-connector.
func newTenant(t *testing.T) string {
	t.Helper()
	namespace := makeNamespace(t, home, nil)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	return namespace
}

// TestDocumentedCSIJob: what people have written for the published driver works
// as it is, in a namespace that nobody has prepared, and without the driver.
func TestDocumentedCSIJob(t *testing.T) {
	t.Parallel()
	namespace := newTenant(t)
	var drivers storagev1.CSIDriverList
	require.NoError(t, home.List(t.Context(), &drivers))
	assert.Empty(t, drivers.Items, "a CSI driver is installed")

	job := &batchv1.Job{}
	manifest(t, documentedJob, namespace, job)
	create(t, home, job)
	awaitJob(t, job, batchv1.JobComplete)
	var pods corev1.PodList
	require.NoError(t, home.List(t.Context(), &pods, client.InNamespace(namespace)))
	require.Len(t, pods.Items, 1, "the Job succeeds with its first Pod")
	pod := &pods.Items[0]
	listed := logs(t, pod, "kubectl")
	assert.NotContains(t, listed, "error", "kubectl complains")
	assert.NotContains(t, listed, "connector-webhook", "kubectl asks the Pod's own cluster")
	terminated := pod.Status.InitContainerStatuses[0].State.Terminated
	require.NotNil(t, terminated, "the sidecar ends with the Job")
	assert.Zero(t, terminated.ExitCode, "the sidecar's exit code")
}

// TestDocumentedCSIPod looks into a Pod as the published quick start does.
func TestDocumentedCSIPod(t *testing.T) {
	t.Parallel()
	namespace := newTenant(t)
	pod := &corev1.Pod{}
	manifest(t, documentedPod, namespace, pod)
	create(t, home, pod)
	awaitPod(t, pod, "ready", running)

	content, err := execute(t, pod, "kubectl", "", "cat", "/opt/kube/kubeconfig")
	require.NoError(t, err)
	kubeconfig, err := clientcmd.Load([]byte(content))
	require.NoError(t, err)
	assert.Equal(t, "k8s", kubeconfig.CurrentContext)
	assert.Equal(t, clusters.Target.Address, kubeconfig.Clusters["k8s"].Server)
	assert.Contains(t, kubeconfig.Clusters["k8s"].ProxyURL, "http://"+namespace+"%2Fk8s-connector:")
	assert.Equal(t, "fake-token", kubeconfig.AuthInfos["k8s"].Token)

	seen, err := execute(t, pod, "kubectl", "", "kubectl", "get", "namespaces", "-o", "name")
	require.NoError(t, err, seen)
	assert.NotContains(t, seen, namespace, "kubectl asks the Pod's own cluster")

	answer, err := execute(t, pod, "kubectl", "", "sh", "-c", "echo x > /opt/kube/kubeconfig")
	require.Error(t, err)
	assert.Contains(t, answer, "Read-only file system")
}

// TestTektonWorkspace: a workspace of a TaskRun that is a csi volume.
func TestTektonWorkspace(t *testing.T) {
	t.Parallel()
	namespace := newTenant(t)
	pod := &corev1.Pod{}
	manifest(t, tektonPod, namespace, pod)
	create(t, home, pod)
	awaitPod(t, pod, "finished", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	assert.Contains(t, logs(t, pod, "step-kubectl"), "namespace/kube-system")
}

// csiVolume is a volume that asks for Connectors.
func csiVolume(name, connectors string) corev1.Volume {
	readOnly := true
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: v1alpha1.CSIDriver, ReadOnly: &readOnly,
		VolumeAttributes: map[string]string{
			v1alpha1.AttributeConnectors: connectors, v1alpha1.AttributeConfigurationNames: "kubeconfig",
		},
	}}}
}

// TestSeveralCSIVolumes: each volume has its own Connectors, in init containers
// too, and as a single file.
func TestSeveralCSIVolumes(t *testing.T) {
	t.Parallel()
	namespace := newTenant(t)
	second := connectorObject(namespace, clusters.Target.Address)
	second.Name = "second"
	create(t, home, second)

	pod := sleeper(namespace)
	pod.Annotations = nil
	pod.Spec.Volumes = []corev1.Volume{csiVolume("one", "second"), csiVolume("two", "k8s-connector, second")}
	app := &pod.Spec.Containers[0]
	app.VolumeMounts = []corev1.VolumeMount{
		{Name: "one", MountPath: "/kube/config", SubPath: "kubeconfig"},
		{Name: "two", MountPath: "/two"},
	}
	app.Env = []corev1.EnvVar{{Name: "KUBECONFIG", Value: "/two/kubeconfig"}}
	before := *app.DeepCopy()
	before.Name, before.Command = "before", []string{"kubectl", "get", "namespaces"}
	pod.Spec.InitContainers = []corev1.Container{before}
	create(t, home, pod)
	awaitPod(t, pod, "ready", running)

	contexts, err := execute(t, pod, "app", "", "kubectl", "config", "get-contexts", "-o", "name")
	require.NoError(t, err, contexts)
	assert.ElementsMatch(t, []string{"k8s-connector", "k8s-connector-localhost", "second", "second-localhost"}, strings.Fields(contexts))
	for _, args := range [][]string{
		{"--kubeconfig=/kube/config"}, {"--context=second"}, {"--context=k8s-connector"}, {"--context=k8s-connector-localhost"}, nil,
	} {
		output, err := execute(t, pod, "app", "", append([]string{"kubectl", "get", "namespaces", "-o", "name"}, args...)...)
		require.NoError(t, err, "%v: %s", args, output)
		assert.Contains(t, output, "namespace/kube-system")
	}
	one, err := execute(t, pod, "app", "", "cat", "/kube/config")
	require.NoError(t, err)
	assert.NotContains(t, one, "k8s-connector", "a volume's kubeconfig has the Connectors of another")
}

// TestCSIVolumeAndAnnotation: both count in a namespace that is enabled, the
// volume alone in any other, none in the system's.
func TestCSIVolumeAndAnnotation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"enabled": {map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}, "annotated mounted"},
		"other":   {nil, "mounted"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := makeNamespace(t, home, test.labels)
			for _, connector := range []string{"annotated", "mounted"} {
				c := connectorObject(namespace, clusters.Target.Address)
				c.Name = connector
				create(t, home, c)
			}
			pod := sleeper(namespace)
			pod.Annotations[v1alpha1.AnnotationConnectors] = "annotated"
			pod.Spec.Volumes = []corev1.Volume{csiVolume("kube", "mounted")}
			require.NoError(t, home.Create(t.Context(), pod, client.DryRunAll))
			require.Len(t, pod.Spec.InitContainers, 1)
			var served []string
			for _, arg := range pod.Spec.InitContainers[0].Args {
				if rest, ok := strings.CutPrefix(arg, "--connector="+namespace+"/"); ok {
					name, _, _ := strings.Cut(rest, "=")
					served = append(served, name)
				}
			}
			assert.Equal(t, test.want, strings.Join(served, " "))
		})
	}
	t.Run("kube-system", func(t *testing.T) {
		pod := sleeper("kube-system")
		pod.Annotations = nil
		pod.Spec.Volumes = []corev1.Volume{csiVolume("kube", "mounted")}
		require.NoError(t, home.Create(t.Context(), pod, client.DryRunAll))
		assert.Empty(t, pod.Spec.InitContainers)
		assert.NotNil(t, pod.Spec.Volumes[0].CSI)
	})
}

// TestPodSettings: a Pod sets up its sidecar, and the kubeconfig follows.
func TestPodSettings(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	newConnector(t, namespace, clusters.Target.Address, clusters.Target.CA, newIdentity(t, target, "view").Token(t))
	pod := sleeper(namespace)
	pod.Annotations[v1alpha1.AnnotationKubeconfigMode] = "localhost"
	pod.Annotations[v1alpha1.AnnotationProxyPort] = "18443"
	pod.Annotations[v1alpha1.AnnotationProxyMemoryLimit] = "128Mi"
	pod.Annotations[v1alpha1.AnnotationLogLevel] = "debug"
	create(t, home, pod)
	awaitPod(t, pod, "ready", running)

	current, err := execute(t, pod, "app", "", "kubectl", "config", "current-context")
	require.NoError(t, err)
	assert.Equal(t, "k8s-localhost", strings.TrimSpace(current))
	content, err := execute(t, pod, "app", "", "sh", "-c", "cat $KUBECONFIG")
	require.NoError(t, err)
	kubeconfig, err := clientcmd.Load([]byte(content))
	require.NoError(t, err)
	assert.Contains(t, kubeconfig.Clusters["k8s"].ProxyURL, "@127.0.0.1:18443")
	assert.Equal(t, "https://127.0.0.1:18444/"+namespace+"/k8s-connector", kubeconfig.Clusters["k8s-localhost"].Server)
	for _, context := range []string{"k8s", "k8s-localhost"} {
		output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "get", "namespaces", "-o", "name")
		require.NoError(t, err, output)
		assert.Contains(t, output, "namespace/kube-system")
	}
	assert.Contains(t, logs(t, pod, "connector-proxy"), `"level":"DEBUG"`)
}
