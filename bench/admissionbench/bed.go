package admissionbench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/bench/deployed"
	"github.com/kube-connector/kube-connector/bench/proc"
	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	systemNamespace = "connectors-system"
	serviceName     = "connector-webhook"
	patience        = 2 * time.Minute
)

// bed is an API server with the webhook's configuration, and what it takes to
// start the webhook as a process of its own.
type bed struct {
	server *apiserver.Server
	client client.Client

	dir, binary, kubeconfig string
	port, health            string
	environment             []string // of Go's runtime, as it is deployed
}

func newBed(ctx context.Context) (b *bed, err error) {
	b = &bed{}
	if b.server, err = apiserver.Run(); err != nil {
		return nil, err
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bed) close() error {
	return errors.Join(b.server.Stop(), os.RemoveAll(b.dir))
}

func (b *bed) prepare(ctx context.Context) (err error) {
	config := rest.CopyConfig(b.server.Config)
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if b.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "kube-connector-bench-"); err != nil {
		return err
	}
	if b.binary, err = proc.Build(ctx, b.dir, "cmd/webhook"); err != nil {
		return err
	}
	b.kubeconfig = filepath.Join(b.dir, "kubeconfig")
	if err := deployed.WriteKubeconfig(b.kubeconfig, config); err != nil {
		return err
	}
	if b.environment, err = deployed.GoEnvironment("config/webhook/deployment.yaml"); err != nil {
		return err
	}
	for _, address := range []*string{&b.port, &b.health} {
		free, err := proc.FreeAddress()
		if err != nil {
			return err
		}
		if _, *address, err = net.SplitHostPort(free); err != nil {
			return err
		}
	}
	return b.install(ctx)
}

// install makes the webhook's configuration, and namespaces.
func (b *bed) install(ctx context.Context) error {
	var configuration admissionregistrationv1.MutatingWebhookConfiguration
	if err := deployed.ReadYAML("config/webhook/configuration.yaml", &configuration); err != nil {
		return err
	}
	port, err := strconv.ParseInt(b.port, 10, 32)
	if err != nil {
		return err
	}
	for i := range configuration.Webhooks {
		service := configuration.Webhooks[i].ClientConfig.Service
		service.Port = new(int32)
		*service.Port = int32(port)
	}
	objects := []client.Object{
		namespace(systemNamespace, nil),
		namespace(plainNamespace, nil),
		namespace(emptyNamespace, nil),
		namespace(reviews.Namespace, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}),
		// There is no network of a cluster here; the API server finds the webhook
		// on its own machine.
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: serviceName},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
		},
		&configuration,
	}
	for _, object := range objects {
		if err := b.client.Create(ctx, object); err != nil {
			return err
		}
	}
	return b.createConnector(ctx, reviews.Connector("k8s-connector"))
}

// start starts the webhook and waits until it is ready.
func (b *bed) start(ctx context.Context) (*proc.Process, error) {
	env := append([]string{"KUBECONFIG=" + b.kubeconfig}, b.environment...)
	p, err := proc.Start(ctx, env, b.binary, "--sidecar-image=sidecar:bench", "--port="+b.port,
		"--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:"+b.health)
	if err != nil {
		return nil, err
	}
	if _, err := p.AwaitListening("127.0.0.1:" + b.health); err != nil {
		p.Stop()
		return nil, err
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+b.health+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("waiting for the webhook: %w: %s", err, p.Log())
	}
	return p, nil
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}
