package main

import (
	"bytes"
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/program"
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
		{[]string{image, "--log-level=DEBUG-4"}, program.ErrUsage, "DEBUG is the least"},
	} {
		var stdout, stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), tc.args, &stdout, &stderr), tc.err, tc.args)
		require.Contains(t, stderr.String(), tc.told)
		require.Empty(t, stdout.String())
	}
}
