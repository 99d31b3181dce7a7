package admissionbench

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
)

// The namespaces say which webhook is called for a Pod: none, the empty one, or
// in that of the reviews ours.
const (
	plainNamespace = "plain"
	emptyNamespace = "empty"
	emptyWebhook   = "empty.bench.example"
	ourWebhook     = "annotated.connectors.alauda.io"
)

// measureBursts creates Pods in turn with no webhook, the empty one and ours. The
// API server does everything but store them.
func measureBursts(ctx context.Context, b *bed, progress io.Writer, p plan) ([]Burst, error) {
	stop, err := b.serveEmpty(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	webhook, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer webhook.Stop()
	config := rest.CopyConfig(b.server.Config)
	config.QPS = -1
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pod, err := reviews.Pod()
	if err != nil {
		return nil, err
	}
	pod.ManagedFields = nil
	rows := []struct {
		name, namespace, webhook string
		p50, p99, mean           []float64
	}{
		{name: "none", namespace: plainNamespace},
		{name: "empty", namespace: emptyNamespace, webhook: emptyWebhook},
		{name: "ours", namespace: reviews.Namespace, webhook: ourWebhook},
	}
	fmt.Fprintf(progress, "creating %d Pods, %d at once, in %d rounds\n", p.burst, p.concurrency, p.burstRounds)
	for round := range p.burstRounds + 1 {
		for i := range rows {
			row := &rows[i]
			pod.Namespace = row.namespace
			before, err := webhookTime(ctx, set, row.webhook)
			if err != nil {
				return nil, err
			}
			latencies, err := burst(ctx, set, pod, p.burst, p.concurrency)
			if err != nil {
				return nil, err
			}
			after, err := webhookTime(ctx, set, row.webhook)
			if err != nil {
				return nil, err
			}
			if calls := after.calls - before.calls; row.webhook != "" && calls < float64(p.burst) {
				return nil, fmt.Errorf("webhook %s was called for %g of %d Pods", row.webhook, calls, p.burst)
			}
			if round > 0 { // the first one warms up
				row.p50 = append(row.p50, quantile(latencies, 0.5))
				row.p99 = append(row.p99, quantile(latencies, 0.99))
				row.mean = append(row.mean, 1000*(after.seconds-before.seconds)/max(1, after.calls-before.calls))
			}
		}
	}
	bursts := make([]Burst, 0, len(rows))
	for _, row := range rows {
		bursts = append(bursts, Burst{
			Webhook: row.name, Concurrency: p.concurrency, P50: median(row.p50), P99: median(row.p99), Mean: median(row.mean),
			P50Ratio: ratio(row.p50, rows[1].p50), P99Ratio: ratio(row.p99, rows[1].p99),
		})
	}
	return bursts, nil
}

// burst creates Pods and returns how long each took, in milliseconds.
func burst(ctx context.Context, set kubernetes.Interface, pod *corev1.Pod, count, concurrency int) ([]float64, error) {
	latencies := make([]float64, count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i := range count {
		group.Go(func() error {
			start := time.Now()
			_, err := set.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			latencies[i] = float64(time.Since(start)) / float64(time.Millisecond)
			return err
		})
	}
	return latencies, group.Wait()
}

// calls are what the API server says of a webhook in its metrics.
type calls struct{ seconds, calls float64 }

func webhookTime(ctx context.Context, set kubernetes.Interface, name string) (calls, error) {
	metrics, err := set.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return calls{}, err
	}
	var c calls
	for line := range strings.SplitSeq(string(metrics), "\n") {
		if !strings.HasPrefix(line, "apiserver_admission_webhook_admission_duration_seconds_") || !strings.Contains(line, `name="`+name+`"`) {
			continue
		}
		labels, text, _ := strings.Cut(line, "} ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return calls{}, err
		}
		switch {
		case strings.Contains(labels, "_seconds_sum{"):
			c.seconds += value
		case strings.Contains(labels, "_seconds_count{"):
			c.calls += value
		}
	}
	return c, nil
}

// serveEmpty serves the webhook that allows all, from this process, and waits
// until the API server calls it.
func (b *bed) serveEmpty(ctx context.Context) (stop func(), err error) {
	server := reviews.Serve(reviews.Empty())
	url := server.URL + "/"
	fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "empty"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: emptyWebhook, AdmissionReviewVersions: []string{"v1"}, FailurePolicy: &fail, SideEffects: &none,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: emptyNamespace}},
		}},
	}
	if err := b.client.Create(ctx, configuration); err != nil {
		server.Close()
		return nil, err
	}
	return server.Close, b.awaitCalled(ctx)
}

func (b *bed) awaitCalled(ctx context.Context) error {
	set, err := kubernetes.NewForConfig(b.server.Config)
	if err != nil {
		return err
	}
	pod, err := reviews.Pod()
	if err != nil {
		return err
	}
	pod.ManagedFields, pod.Namespace = nil, emptyNamespace
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if _, err := burst(ctx, set, pod, 1, 1); err != nil {
			return false, err
		}
		c, err := webhookTime(ctx, set, emptyWebhook)
		return c.calls > 0, err
	})
}
