// Package setup is what the controller and the webhook do before they start.
package setup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// oldestVersion is the oldest Kubernetes that sidecars can be injected on:
// native sidecars (KEP-753), matchConditions and ValidatingAdmissionPolicy are
// all there from it on.
var oldestVersion = utilversion.MustParseGeneric("1.30.0")

// LogLevel is the least level that is logged: DEBUG or above. Below it client-go
// logs what it reads, Secrets included.
type LogLevel slog.Level

// MarshalText implements encoding.TextMarshaler.
func (l LogLevel) MarshalText() ([]byte, error) { return slog.Level(l).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *LogLevel) UnmarshalText(text []byte) error {
	var level slog.Level
	if err := level.UnmarshalText(text); err != nil {
		return err
	}
	if level < slog.LevelDebug {
		return errors.New("DEBUG is the least")
	}
	*l = LogLevel(level)
	return nil
}

// LogLevelFlag adds the flag for the LogLevel.
func LogLevelFlag(flags *flag.FlagSet, level *LogLevel) {
	flags.TextVar(level, "log-level", LogLevel(slog.LevelInfo), "the least level that is logged: DEBUG, INFO, WARN or ERROR")
}

// Logs sends the logs of all libraries to w, as JSON.
func Logs(w io.Writer, level LogLevel) {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(level)}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// Cluster finds the API server, waits until it answers, and makes sure that it is
// new enough. Until it answers, healthAddress (host:port, or 0 for nowhere) says
// that this process is alive and not ready.
func Cluster(ctx context.Context, healthAddress string) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; run it in a Pod or set KUBECONFIG", err)
	}
	err = CheckVersion(config)
	if errors.Is(err, errNoAnswer) {
		err = await(ctx, config, healthAddress, err)
	}
	return config, err
}

// errNoAnswer says that the API server could not be asked, which may pass.
var errNoAnswer = errors.New("the API server does not answer")

// CheckVersion refuses clusters that sidecars cannot be injected on, before
// people build on it.
func CheckVersion(config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.Timeout = answerTimeout
	discoverer, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	info, err := discoverer.ServerVersion()
	if err != nil {
		return fmt.Errorf("%w: asking for its version: %w", errNoAnswer, err)
	}
	got, err := utilversion.ParseGeneric(info.GitVersion)
	if err != nil {
		return fmt.Errorf("the API server says its version is %q: %w", info.GitVersion, err)
	}
	if got.LessThan(oldestVersion) {
		return fmt.Errorf("the cluster runs Kubernetes %s; at least 1.30 is needed, for native sidecars: upgrade the cluster", info.GitVersion)
	}
	return nil
}
