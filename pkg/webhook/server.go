package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// Config is the configuration of the webhook server.
type Config struct {
	// Namespace is where the webhook runs and keeps its CA.
	Namespace string
	// Host and Port are where admission is served over TLS. An empty Host is
	// every address.
	Host string
	Port int
	// MetricsAddress and HealthAddress are host:port, or "0" for none.
	MetricsAddress, HealthAddress string
	// Inject are the options of injection.
	Inject inject.Options
}

// NewManager makes the manager that serves admission, keeps the serving
// certificate and the trust in it, and reports readiness.
func NewManager(ctx context.Context, config *rest.Config, c Config) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering API types: %w", err)
		}
	}
	labelled, err := labels.Parse(v1alpha1.LabelInjection + " in (" + v1alpha1.InjectionEnabled + ", " + v1alpha1.InjectionAlways + ")")
	if err != nil {
		return nil, fmt.Errorf("selecting namespaces: %w", err)
	}
	source := NewCertificateSource(config, c.Namespace)
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: c.Host,
		Port: c.Port,
		TLSOpts: []func(*tls.Config){func(t *tls.Config) {
			t.MinVersion = tls.VersionTLS12
			t.GetCertificate = source.GetCertificate
		}},
	})
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		WebhookServer:          server,
		Metrics:                metricsserver.Options{BindAddress: c.MetricsAddress},
		HealthProbeBindAddress: c.HealthAddress,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.Connector{}: {Transform: trimConnector},
			// Of the Secrets and the configurations only our own.
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{c.Namespace: {
				FieldSelector: fields.OneTermEqualSelector("metadata.name", CASecretName),
			}}},
			&admissionregistrationv1.MutatingWebhookConfiguration{}: {
				Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName),
			},
			&corev1.Namespace{}: {Label: labelled, Transform: keepDefaults},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	// Without this the first Pod would wait for the first list.
	for _, object := range []client.Object{&v1alpha1.Connector{}, &corev1.Namespace{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, object); err != nil {
			return nil, fmt.Errorf("caching %T: %w", object, err)
		}
	}
	if err := mgr.Add(source); err != nil {
		return nil, fmt.Errorf("adding the certificate source: %w", err)
	}
	if err := (&CABundle{Client: mgr.GetClient(), Namespace: c.Namespace}).SetupWithManager(mgr); err != nil {
		return nil, err
	}
	counts, err := NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	for path, injection := range map[string]string{
		InjectPath: v1alpha1.InjectionEnabled, InjectAlwaysPath: v1alpha1.InjectionAlways, InjectCSIPath: "",
	} {
		server.Register(path, &Injector{
			Cache:     mgr.GetClient(),
			Live:      mgr.GetAPIReader(),
			Options:   c.Inject,
			Injection: injection,
			Metrics:   counts,
		})
	}
	if err := addChecks(mgr, TrustedChecker(source, mgr.GetClient(), c.Namespace)); err != nil {
		return nil, err
	}
	return mgr, nil
}

func addChecks(mgr ctrl.Manager, trusted healthz.Checker) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("serving", mgr.GetWebhookServer().StartedChecker()); err != nil {
		return fmt.Errorf("adding a readiness check: %w", err)
	}
	if err := mgr.AddReadyzCheck("trusted", trusted); err != nil {
		return fmt.Errorf("adding a readiness check: %w", err)
	}
	synced := func(req *http.Request) error {
		// Start of a manager's cache precedes that of its webhook server, but a
		// readiness check must not depend on that order.
		if !mgr.GetCache().WaitForCacheSync(req.Context()) {
			return errors.New("the caches are not synced; can the API server be reached?")
		}
		return nil
	}
	if err := mgr.AddReadyzCheck("caches", synced); err != nil {
		return fmt.Errorf("adding a readiness check: %w", err)
	}
	return nil
}
