package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kube-connector/kube-connector/build/product"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	systemNamespace = "connectors-system"
	installTimeout  = 60 * time.Second
)

// deployments are what must be available for the product to work.
var deployments = []string{"connector-controller", "connector-webhook"}

// Install builds the product from the source tree, installs config/default into
// the home cluster and waits until it is available.
func (c *Cluster) Install(ctx context.Context) error {
	began := time.Now()
	root, err := sourceRoot()
	if err != nil {
		return err
	}
	version, err := product.Version(root)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := c.LoadProduct(ctx, version); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	step := steps(c.progress)
	if err := c.apply(ctx, filepath.Join(root, "config", "default")); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	step("manifests applied")
	if err := c.AwaitProduct(ctx); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	fmt.Fprintf(c.progress, "Kubernetes Connector is installed after %s\n", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// LoadProduct builds the product's images from the source tree, as some version,
// and loads them into the home node.
func (c *Cluster) LoadProduct(ctx context.Context, version string) error {
	root, err := sourceRoot()
	if err != nil {
		return err
	}
	images, err := os.MkdirTemp(c.instance.dataDir(), "images-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(images) }()
	step := steps(c.progress)
	archives, err := product.Build(ctx, root, images, version, c.progress)
	if err != nil {
		return err
	}
	step("images built")
	for _, archive := range archives {
		if err := c.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	step("images loaded")
	return nil
}

// AwaitProduct waits until every replica of the product is available, and no
// other is left.
func (c *Cluster) AwaitProduct(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Home.RESTConfig())
	if err != nil {
		return err
	}
	err = poll(ctx, installTimeout, func(ctx context.Context) error {
		return errors.Join(available(ctx, client), reached(ctx, client))
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, describe(context.WithoutCancel(ctx), client))
	}
	return nil
}

// reached returns nil if a Pod that asks gets an answer from the webhook: kube-proxy
// learns of available replicas a moment after the Deployment does.
func reached(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "asks"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "asks", Image: ToolboxImage}},
			Volumes: []corev1.Volume{{Name: "asks", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
				Driver: v1alpha1.CSIDriver, VolumeAttributes: map[string]string{v1alpha1.AttributeConnectorName: "none"},
			}}}},
		},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsInternalError(err) {
		return err
	}
	return nil // whatever the answer is
}

// steps tells how long each step took.
func steps(progress io.Writer) func(string) {
	began := time.Now()
	return func(step string) {
		fmt.Fprintf(progress, "%s (%s)\n", step, time.Since(began).Round(100*time.Millisecond))
		began = time.Now()
	}
}

// apply applies a kustomization, once, as a person would.
func (c *Cluster) apply(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, c.Kubectl, "--kubeconfig", c.Home.Kubeconfig, "apply", "-k", dir)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply -k %s: %w: %s", dir, err, complaints(string(output)))
	}
	return nil
}

// complaints leaves out of kubectl's output what went well.
func complaints(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, " created\n") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, ""))
}

// available returns nil if every replica of every Deployment is.
func available(ctx context.Context, client kubernetes.Interface) error {
	for _, name := range deployments {
		d, err := client.AppsV1().Deployments(systemNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := rolledOut(d); err != nil {
			return err
		}
	}
	return nil
}

func rolledOut(d *appsv1.Deployment) error {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas < want || s.AvailableReplicas < want || s.Replicas > want {
		return fmt.Errorf("deployment %s has %d of %d replicas available", d.Name, s.AvailableReplicas, want)
	}
	return nil
}

// describe tells why Pods of the system namespace do not run: the state of each
// container, the end of its log, and the namespace's warnings.
func describe(ctx context.Context, client kubernetes.Interface) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var b strings.Builder
	pods, err := client.CoreV1().Pods(systemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "pods: " + err.Error()
	}
	for _, pod := range pods.Items {
		fmt.Fprintf(&b, "pod %s: %s\n", pod.Name, pod.Status.Phase)
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if s.Ready {
				continue
			}
			fmt.Fprintf(&b, "  container %s: %s\n", s.Name, containerState(s))
			// What a container said before it was restarted is what matters.
			logs := client.CoreV1().Pods(systemNamespace).GetLogs(pod.Name, &corev1.PodLogOptions{
				Container: s.Name, Previous: s.RestartCount > 0, TailLines: new(int64(tailLines)),
			})
			copyIndented(ctx, &b, logs.Stream)
		}
	}
	events, err := client.CoreV1().Events(systemNamespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		return b.String() + "events: " + err.Error()
	}
	for _, e := range events.Items {
		fmt.Fprintf(&b, "event %s %s: %s: %s\n", strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return strings.TrimRight(b.String(), "\n")
}

func containerState(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil:
		return "waiting: " + s.State.Waiting.Reason + ": " + s.State.Waiting.Message
	case s.State.Terminated != nil:
		return fmt.Sprintf("ended with %d: %s", s.State.Terminated.ExitCode, s.State.Terminated.Reason)
	default:
		return fmt.Sprintf("running, not ready, restarted %d times", s.RestartCount)
	}
}

func copyIndented(ctx context.Context, b *strings.Builder, open func(context.Context) (io.ReadCloser, error)) {
	stream, err := open(ctx)
	if err != nil {
		return // there is no log yet
	}
	defer func() { _ = stream.Close() }()
	content, err := io.ReadAll(stream)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(content)) {
		b.WriteString("    " + line)
	}
}
