package webhook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

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

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// Config is the configuration of the webhook server.
type Config struct {
	// Namespace is where the webhook runs and keeps its CA.
	Namespace string
	// CertificateDir, if not empty, is a directory with tls.crt and tls.key to serve
	// with, which somebody else renews, and whose CA somebody else keeps in the
	// caBundles. Otherwise the webhook does all that itself.
	CertificateDir string
	// Host and Port are where admission is served over TLS. An empty Host is
	// every address.
	Host string
	Port int
	// Drain is how long admission is served on after the end has been asked for.
	Drain time.Duration
	// MetricsAddress and HealthAddress are host:port, or "0" for none.
	MetricsAddress, HealthAddress string
	// Inject are the options of injection.
	Inject inject.Options
}

// NewManager makes the manager that serves admission, keeps the serving
// certificate and the trust in it, and reports readiness.
func NewManager(ctx context.Context, config *rest.Config, c Config) (ctrl.Manager, error) {
	options, err := managerOptions(&c)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	// Without this the first Pod would wait for the first list.
	for _, object := range []client.Object{&v1alpha1.Connector{}, &v1alpha1.ConnectorClass{}, &corev1.Namespace{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, object); err != nil {
			return nil, fmt.Errorf("caching %T: %w", object, err)
		}
	}
	t := trust{reader: mgr.GetClient(), namespace: c.Namespace}
	source := certificateSource(config, &c, t)
	if err := mgr.Add(source); err != nil {
		return nil, fmt.Errorf("adding the certificate source: %w", err)
	}
	if c.CertificateDir == "" {
		if err := (&CABundle{Client: mgr.GetClient(), Namespace: c.Namespace}).SetupWithManager(mgr); err != nil {
			return nil, err
		}
	}
	handler, err := admissionHandler(mgr, c.Inject)
	if err != nil {
		return nil, err
	}
	s := &server{
		address: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), handler: handler,
		getCertificate: source.GetCertificate, drain: c.Drain,
	}
	if err := mgr.Add(s); err != nil {
		return nil, fmt.Errorf("adding the server: %w", err)
	}
	return mgr, addChecks(mgr, s.started, t.checker(source))
}

// managerOptions says what is cached, and where anything but admission is served.
func managerOptions(c *Config) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, fmt.Errorf("registering API types: %w", err)
		}
	}
	labelled, err := labels.Parse(v1alpha1.LabelInjection + " in (" + v1alpha1.InjectionEnabled + ", " + v1alpha1.InjectionAlways + ")")
	if err != nil {
		return ctrl.Options{}, fmt.Errorf("selecting namespaces: %w", err)
	}
	return ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metricsserver.Options{BindAddress: c.MetricsAddress},
		HealthProbeBindAddress: c.HealthAddress,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.Connector{}:      {Transform: trimConnector},
			&v1alpha1.ConnectorClass{}: {Transform: trimClass},
			// Of the Secrets and the configurations only our own.
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{c.Namespace: {
				FieldSelector: fields.OneTermEqualSelector("metadata.name", CASecretName),
			}}},
			&admissionregistrationv1.MutatingWebhookConfiguration{}: {
				Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName),
			},
			&corev1.Namespace{}: {Label: labelled, Transform: keepDefaults},
		}},
	}, nil
}

// admissionHandler answers the API server.
func admissionHandler(mgr ctrl.Manager, options inject.Options) (http.Handler, error) {
	counts, err := NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, injection := range map[string]string{
		InjectPath: v1alpha1.InjectionEnabled, InjectAlwaysPath: v1alpha1.InjectionAlways, InjectCSIPath: "",
	} {
		mux.Handle(path, &Injector{
			Cache:     mgr.GetClient(),
			Live:      mgr.GetAPIReader(),
			Options:   options,
			Injection: injection,
			Metrics:   counts,
		})
	}
	return mux, nil
}

// addChecks makes /readyz true when the caches are synced, admission is served,
// and the API server trusts the certificate.
func addChecks(mgr ctrl.Manager, serving, trusted healthz.Checker) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	// The manager starts the server when the caches are synced.
	for name, check := range map[string]healthz.Checker{"serving": serving, "trusted": trusted} {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("adding a readiness check: %w", err)
		}
	}
	return nil
}
