package admissionbench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// perNamespace is how many Connectors a team has.
const perNamespace = 100

// measureMemory starts the webhook with one Connector, and with many.
func measureMemory(ctx context.Context, b *bed, progress io.Writer, p plan) ([]Memory, error) {
	one, err := b.memory(ctx, 1, p)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "creating %d Connectors\n", p.connectors)
	if err := b.createConnectors(ctx, p.connectors-1, p.concurrency); err != nil {
		return nil, err
	}
	many, err := b.memory(ctx, p.connectors, p)
	return []Memory{one, many}, err
}

func (b *bed) memory(ctx context.Context, connectors int, p plan) (Memory, error) {
	m := Memory{Connectors: connectors, Environment: b.environment}
	webhook, err := b.start(ctx)
	if err != nil {
		return m, err
	}
	defer webhook.Stop()
	settled, err := webhook.SettledRSS(ctx)
	if err != nil {
		return m, err
	}
	config := rest.CopyConfig(b.server.Config)
	config.QPS = -1
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return m, err
	}
	pod, err := reviews.Pod()
	if err != nil {
		return m, err
	}
	pod.ManagedFields = nil
	if _, err := burst(ctx, set, pod, p.burst, p.concurrency); err != nil {
		return m, err
	}
	busy, err := webhook.RSS()
	if err != nil {
		return m, err
	}
	peak, err := webhook.PeakRSS()
	m.RSS, m.Busy, m.Peak = float64(settled)/1e6, float64(busy)/1e6, float64(peak)/1e6
	return m, err
}

func (b *bed) createConnectors(ctx context.Context, count, concurrency int) error {
	for i := range (count + perNamespace - 1) / perNamespace {
		if err := b.client.Create(ctx, namespace(fmt.Sprintf("team-%d", i), nil)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i := range count {
		group.Go(func() error {
			c := reviews.Connector(fmt.Sprintf("connector-%d", i))
			c.Namespace = fmt.Sprintf("team-%d", i/perNamespace)
			c.Spec.Address = fmt.Sprintf("https://cluster-%d.example.com:6443", i)
			c.Spec.CACertSecretRef = &corev1.ObjectReference{Name: "k8s-ca"}
			return b.createConnector(ctx, c)
		})
	}
	return group.Wait()
}

// createConnector makes a Connector as kubectl apply does, with the status that
// the controller gives it.
func (b *bed) createConnector(ctx context.Context, c *v1alpha1.Connector) error {
	applied, err := json.Marshal(c.Spec)
	if err != nil {
		return err
	}
	c.Labels = map[string]string{"app.kubernetes.io/managed-by": "platform", "app.kubernetes.io/part-of": c.Namespace}
	c.Annotations = map[string]string{
		"cpaas.io/display-name":            "The cluster that " + c.Namespace + " deploys to",
		corev1.LastAppliedConfigAnnotation: `{"apiVersion":"connectors.alauda.io/v1alpha1","kind":"Connector","metadata":{"annotations":{},"name":"` + c.Name + `","namespace":"` + c.Namespace + `"},"spec":` + string(applied) + "}\n",
	}
	status := v1alpha1.ConnectorStatus{ObservedGeneration: 1}
	for _, condition := range []struct{ kind, reason, message string }{
		{"Ready", "Ready", "the Connector works"},
		{"ConnectorClassReady", "Resolved", "class k8s is ready"},
		{"SecretReady", "Resolved", "Secret k8s-secret holds a token"},
		{"CACertReady", "Valid", "one certificate, the first of which ends in 3 years"},
		{"LivenessReady", "ProbeSucceeded", c.Spec.Address + " answers"},
		{"AuthReady", "ProbeSucceeded", "the token is accepted as system:serviceaccount:default:deployer"},
		{"ProxyServiceReady", "Ambassador", "Pods that name the Connector get a proxy of their own"},
	} {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: condition.kind, Status: metav1.ConditionTrue, Reason: condition.reason, Message: condition.message,
			ObservedGeneration: 1, LastTransitionTime: metav1.Now(),
		})
	}
	if err := b.client.Create(ctx, c, client.FieldOwner("kubectl-client-side-apply")); err != nil {
		return err
	}
	c.Status = status
	return b.client.Status().Update(ctx, c, client.FieldOwner("connector-controller"))
}
