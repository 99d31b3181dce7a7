package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/controller"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

const (
	systemNamespace = "connectors-system"
	// countsApart is how long a count of Connectors waits for the one before.
	countsApart = 3 * time.Second
)

// site is an API server with the controller at work on it, as the user and with
// the rights that config/rbac gives it.
type site struct {
	config *rest.Config
	// admin may do everything and reads no cache.
	admin client.Client
	// manager is the controller's.
	manager  ctrl.Manager
	schedule controller.Schedule
	// namespaces are the only ones that the controller looks at; nil for all.
	namespaces []string
	// rest stops the controller.
	rest func() error
	// invariants see all that the controller does there.
	invariants invariants
}

var (
	// patient looks at Connectors only when something changes in its cluster, so
	// that a test of a watch does not pass by the schedule.
	patient *site
	// eager looks at Connectors all the time. It is the cluster that Connectors of
	// patient point to, too.
	eager *site
	// logs are all that the controllers log at the most talkative level that
	// cmd/controller allows.
	logs testkit.Log
)

func TestMain(m *testing.M) {
	leaks := goleak.IgnoreCurrent()
	code, err := runTests(m)
	if err == nil && code == 0 {
		err = goleak.Find(leaks,
			// klog flushes for as long as the process lives.
			goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
			// client-go's metadata client leaves this behind when a watch stops in the
			// middle of an event.
			goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	const never = time.Hour
	var stops []func() error
	defer func() {
		for _, stop := range stops {
			err = errors.Join(err, stop())
		}
	}()
	for _, s := range []struct {
		site     **site
		schedule controller.Schedule
	}{
		{&patient, controller.Schedule{Ready: never, Failing: never, FailingFor: never, Failed: never}},
		{&eager, controller.Schedule{Ready: 200 * time.Millisecond, Failing: 200 * time.Millisecond, FailingFor: never, Failed: never, Consumers: writesApart}},
	} {
		started, stop, err := startSite(s.schedule)
		if stop != nil {
			stops = append(stops, stop)
		}
		if err != nil {
			return 1, err
		}
		*s.site = started
	}
	code = m.Run()
	for _, s := range []*site{patient, eager} {
		for _, violation := range s.invariants.violations("") {
			err = errors.Join(err, errors.New(violation))
		}
	}
	return code, err
}

// startSite starts an API server and the controller on it. The function it
// returns stops what was started, even if there is an error too.
func startSite(schedule controller.Schedule) (*site, func() error, error) {
	server, err := apiserver.Run()
	if err != nil {
		return nil, nil, err
	}
	s := &site{config: server.Config}
	if err := s.install(); err != nil {
		return nil, server.Stop, err
	}

	schedule.Classes = countsApart
	s.schedule = schedule
	if err := s.work(); err != nil {
		return nil, server.Stop, err
	}
	return s, func() error { return errors.Join(s.rest(), server.Stop()) }, nil
}

// work starts the controller.
func (s *site) work() error {
	options, err := controller.ManagerOptions(systemNamespace)
	if err != nil {
		return err
	}
	if s.namespaces != nil {
		controller.LimitTo(&options, s.namespaces)
	}
	options.Metrics = metricsserver.Options{BindAddress: "0"}
	skip := true
	options.Controller.SkipNameValidation = &skip // there are two in this process
	user := rest.CopyConfig(s.config)
	user.Impersonate.UserName = "system:serviceaccount:" + systemNamespace + ":connector-controller"
	user.Impersonate.Groups = []string{"system:serviceaccounts", "system:authenticated"}
	user.Wrap(s.invariants.watch)
	if s.manager, err = ctrl.NewManager(user, options); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := controller.Add(ctx, s.manager, controller.Options{SystemNamespace: systemNamespace, Schedule: s.schedule}); err != nil {
		cancel()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.manager.Start(ctx) }()
	s.rest = func() error {
		cancel()
		return <-ended
	}
	if !s.manager.GetCache().WaitForCacheSync(ctx) {
		return errors.Join(errors.New("the caches of the controller do not sync"), s.rest())
	}
	return nil
}

// restart starts the controller anew.
func (s *site) restart() error { return errors.Join(s.rest(), s.work()) }

// install installs what config/default would, as far as the controller needs it.
func (s *site) install() error {
	options, err := controller.ManagerOptions(systemNamespace)
	if err != nil {
		return err
	}
	if s.admin, err = client.New(s.config, client.Options{Scheme: options.Scheme}); err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := s.admin.Create(context.Background(), namespace); err != nil {
		return err
	}
	content, err := os.ReadFile("../../config/rbac/controller_role.yaml")
	if err != nil {
		return err
	}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return fmt.Errorf("reading the controller's rights: %w", err)
		}
		if err := s.admin.Create(context.Background(), object); err != nil {
			return fmt.Errorf("granting the controller's rights: %w", err)
		}
	}
	return nil
}
