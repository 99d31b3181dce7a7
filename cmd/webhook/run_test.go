package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/internal/program"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"version"}, &stdout, &stderr))
	require.NotEmpty(t, stdout.String())
	require.Empty(t, stderr.String())
}

func TestUsage(t *testing.T) {
	image := "--sidecar-image=sidecar:test"
	for _, tc := range []struct {
		args []string
		err  error
		told string
	}{
		{[]string{"-h"}, flag.ErrHelp, "Usage: webhook [flags]"},
		{nil, program.ErrUsage, "-sidecar-image is missing"},
		{[]string{"--no-such-flag"}, program.ErrUsage, "flag provided but not defined"},
		{[]string{image, "start"}, program.ErrUsage, `unexpected argument "start"`},
		{[]string{image, "--sidecar-cpu-limit=lots"}, program.ErrUsage, "allowed are quantities from 1m to 16"},
		{[]string{image, "--sidecar-metrics-port=80"}, program.ErrUsage, "ports from 1024 to 65535"},
		{[]string{image, "--sidecar-metrics-port=65536"}, program.ErrUsage, "ports from 1024 to 65535"},
		{[]string{image, "--sidecar-metrics-port=17443"}, program.ErrUsage, "but for 17443 to 17445, which the sidecar takes itself"},
		{[]string{image, "--sidecar-metrics-port=17445"}, program.ErrUsage, "but for 17443 to 17445, which the sidecar takes itself"},
		{[]string{image, "--sidecar-metrics-port=http"}, program.ErrUsage, "0 for none"},
		{[]string{image, "--log-level=DEBUG-4"}, program.ErrUsage, "DEBUG is the least"},
	} {
		var stdout, stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), tc.args, &stdout, &stderr), tc.err, tc.args)
		require.Contains(t, stderr.String(), tc.told)
		require.Empty(t, stdout.String())
	}
}

// What the command line leaves out can stand in the ConfigMap.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sidecar-image"), []byte("sidecar:test"), 0o600))
	o, err := parseOptions([]string{"--settings-dir=" + dir}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "sidecar:test", o.webhook.Inject.Image)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "sidecar-imag"), []byte("sidecar:test"), 0o600))
	_, err = parseOptions([]string{"--settings-dir=" + dir}, io.Discard)
	require.ErrorContains(t, err, `setting "sidecar-imag" is not known`)
}

func TestInjectionOptions(t *testing.T) {
	var stderr bytes.Buffer
	o, err := parseOptions([]string{"--sidecar-image=sidecar:test", "--sidecar-cpu-limit=50m", "--image-pull-secret=registry", "--sidecar-metrics-port=17446"}, &stderr)
	require.NoError(t, err, stderr.String())
	require.Equal(t, inject.Options{
		Image: "sidecar:test", CPULimit: resource.MustParse("50m"), ImagePullSecret: "registry", MetricsPort: 17446,
	}, o.webhook.Inject)
}
