package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/cluster"
)

const (
	podRuns   = 15
	namespace = "bench"
)

// podFigures are the times from the creation of a Pod to the first line of its
// app.
type podFigures struct {
	plain, injected []time.Duration
}

// difference pairs each Pod with a sidecar with the one without before it.
func (f podFigures) difference() []time.Duration {
	var d []time.Duration
	for i := range f.plain {
		d = append(d, f.injected[i]-f.plain[i])
	}
	return d
}

// measurePods brings the clusters up, and starts Pods in turn.
func measurePods(ctx context.Context, progress io.Writer) (f podFigures, err error) {
	clusters, err := cluster.Up(ctx, cluster.Config{Name: "test", Progress: progress})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, clusters.Down(context.WithoutCancel(ctx))) }()
	if err := clusters.Install(ctx); err != nil {
		return f, err
	}
	home, logs, err := clients(clusters.Home)
	if err != nil {
		return f, err
	}
	if err := prepare(ctx, home, clusters.Target); err != nil {
		return f, err
	}
	fmt.Fprintf(progress, "starting %d Pods without and with the sidecar, in turn\n", podRuns)
	for i := range podRuns + 1 {
		plain, err := startPod(ctx, home, logs, nil)
		if err != nil {
			return f, err
		}
		injected, err := startPod(ctx, home, logs, map[string]string{v1alpha1.AnnotationConnectors: "k8s-connector"})
		if err != nil {
			return f, err
		}
		if i > 0 { // the first pair warms up
			f.plain, f.injected = append(f.plain, plain), append(f.injected, injected)
		}
	}
	return f, nil
}

func clients(api *cluster.API) (client.Client, kubernetes.Interface, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, nil, err
	}
	c, err := client.New(api.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, err
	}
	set, err := kubernetes.NewForConfig(api.RESTConfig())
	return c, set, err
}

// prepare makes a namespace with a Connector. The token need not be a good one:
// the start of a Pod does not depend on it.
func prepare(ctx context.Context, home client.Client, target *cluster.API) error {
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: namespace, Labels: map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled},
		}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "k8s-secret", Namespace: namespace},
			Type:       connector.SecretTypeBearerToken,
			StringData: map[string]string{connector.SecretKeyToken: "bench", connector.SecretKeyCA: string(target.CA)},
		},
		&v1alpha1.Connector{
			ObjectMeta: metav1.ObjectMeta{Name: "k8s-connector", Namespace: namespace},
			Spec: v1alpha1.ConnectorSpec{
				ConnectorClassName: "k8s", Address: target.Address,
				Auth: &v1alpha1.ConnectorAuth{SecretRef: &corev1.ObjectReference{Name: "k8s-secret"}},
			},
		},
	} {
		if err := home.Create(ctx, object); err != nil {
			return err
		}
	}
	return await(ctx, func(ctx context.Context) (bool, error) {
		err := home.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, client.IgnoreNotFound(err)
	})
}

// startPod measures one Pod. Its app prints the machine's uptime, a clock that
// both sides can read, with a resolution of 10 ms.
func startPod(ctx context.Context, home client.Client, set kubernetes.Interface, annotations map[string]string) (time.Duration, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-", Namespace: namespace, Annotations: annotations},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "app", Image: cluster.ToolboxImage, ImagePullPolicy: corev1.PullNever,
				Command: []string{"cat", "/proc/uptime"},
			}},
		},
	}
	content, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	began, err := uptime(string(content))
	if err != nil {
		return 0, err
	}
	if err := home.Create(ctx, pod); err != nil {
		return 0, err
	}
	err = await(ctx, func(ctx context.Context) (bool, error) {
		err := home.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Status.Phase == corev1.PodSucceeded, err
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for Pod %s: %w", pod.Name, err)
	}
	log, err := set.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "app"}).DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	started, err := uptime(string(log))
	if err != nil {
		return 0, err
	}
	if err := home.Delete(ctx, pod); err != nil {
		return 0, err
	}
	return started - began, await(ctx, func(ctx context.Context) (bool, error) {
		err := home.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return err != nil, client.IgnoreNotFound(err)
	})
}

// uptime reads /proc/uptime (proc_uptime(5)): seconds since the machine started.
func uptime(content string) (time.Duration, error) {
	seconds, _, _ := strings.Cut(strings.TrimSpace(content), " ")
	value, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the uptime: %w", err)
	}
	return time.Duration(value * float64(time.Second)), nil
}

func await(ctx context.Context, condition wait.ConditionWithContextFunc) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 2*time.Minute, true, condition)
}
