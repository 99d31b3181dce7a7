package controllerbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/bench/deployed"
	"github.com/kube-connector/kube-connector/bench/proc"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	systemNamespace = "connectors-system"
	account         = "connector-controller"
)

// bed is an API server, the clusters that Connectors point to, and what it takes
// to start the controller as a process of its own.
type bed struct {
	server  *apiserver.Server
	client  client.Client
	audit   *audit
	targets *proc.Process
	// asked is where the targets say what has been asked of them.
	asked  string
	places []place

	dir, binary, kubeconfig string
	health, metrics         string
	environment             []string // of Go's runtime, as it is deployed
	controller              *proc.Process
}

// place is where a target is, and who has signed its certificate.
type place struct{ Address, CA string }

func newBed(ctx context.Context, p plan) (b *bed, err error) {
	b = &bed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "kube-connector-bench-"); err != nil {
		return b, err
	}
	policy := filepath.Join(b.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return b, err
	}
	b.audit = &audit{path: filepath.Join(b.dir, "audit.log")}
	b.server, err = apiserver.Run("audit-policy-file="+policy, "audit-log-path="+b.audit.path, "audit-log-maxsize=100000")
	if err != nil {
		return b, err
	}
	for _, prepare := range []func() error{
		func() error { return b.install(ctx) },
		func() error { return b.access(ctx) },
		func() error { return b.startTargets(ctx, p.targets) },
		func() (err error) { b.binary, err = proc.Build(ctx, b.dir, "cmd/controller"); return err },
		func() (err error) {
			b.environment, err = deployed.GoEnvironment("config/controller/deployment.yaml")
			return err
		},
		func() (err error) { b.health, err = proc.FreeAddress(); return err },
		func() (err error) { b.metrics, err = proc.FreeAddress(); return err },
	} {
		if err := prepare(); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *bed) close() error {
	var err error
	for _, p := range []*proc.Process{b.controller, b.targets} {
		if p != nil {
			p.Stop()
		}
	}
	if b.server != nil {
		err = b.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// install makes what config/default would, as far as the controller needs it.
func (b *bed) install(ctx context.Context) error {
	config := rest.CopyConfig(b.server.Config)
	config.QPS = -1
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	if b.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := b.client.Create(ctx, namespace(systemNamespace)); err != nil {
		return err
	}
	content, err := os.ReadFile("config/rbac/controller_role.yaml")
	if err != nil {
		return fmt.Errorf("%w; run this at the root of the repository", err)
	}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return err
		}
		if err := b.client.Create(ctx, object); err != nil {
			return fmt.Errorf("granting the controller's rights: %w", err)
		}
	}
	return nil
}

// access lets the controller in as its ServiceAccount, as in a Pod.
func (b *bed) access(ctx context.Context) error {
	request := &authenticationv1.TokenRequest{}
	user := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: account}}
	if err := b.client.SubResource("token").Create(ctx, user, request); err != nil {
		return err
	}
	b.kubeconfig = filepath.Join(b.dir, "kubeconfig")
	config := &rest.Config{Host: b.server.Config.Host, BearerToken: request.Status.Token}
	config.CAData = b.server.Config.CAData
	return deployed.WriteKubeconfig(b.kubeconfig, config)
}

func (b *bed) startTargets(ctx context.Context, count int) error {
	binary, err := proc.Build(ctx, b.dir, "bench/targets")
	if err != nil {
		return err
	}
	listen, err := proc.FreeAddress()
	if err != nil {
		return err
	}
	b.targets, err = proc.Start(ctx, nil, binary, "-listen", listen, "-count", strconv.Itoa(count), "-refuse", revoked)
	if err != nil {
		return err
	}
	if _, err := b.targets.AwaitListening(listen); err != nil {
		return err
	}
	b.asked = "http://" + listen + "/counts"
	return getJSON(ctx, "http://"+listen+"/", &b.places)
}

// start starts the controller as it is deployed, one replica of it.
func (b *bed) start(ctx context.Context) (err error) {
	env := append([]string{"KUBECONFIG=" + b.kubeconfig}, b.environment...)
	b.controller, err = proc.Start(ctx, env, b.binary, "--leader-elect", "--system-namespace="+systemNamespace,
		"--metrics-bind-address="+b.metrics, "--health-probe-bind-address="+b.health)
	return err
}

// lastWords is the end of what the controller has logged.
func (b *bed) lastWords() string {
	if b.controller == nil {
		return ""
	}
	b.controller.Stop()
	log := b.controller.Log()
	return log[max(0, len(log)-2000):]
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func getJSON(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}
