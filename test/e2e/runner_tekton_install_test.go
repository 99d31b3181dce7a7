package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/build/image"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// Tekton's manifests name its images by the source of their programs, and one
// image with a shell by its address in a registry.
var (
	tektonImage = regexp.MustCompile(`ko://github\.com/tektoncd/pipeline/cmd/([a-z]+)`)
	tektonShell = regexp.MustCompile(`cgr\.dev/chainguard/busybox@sha256:[0-9a-f]+`)
)

// installTekton installs Tekton Pipelines from its own manifests until the test
// ends.
func installTekton(t *testing.T) {
	t.Helper()
	tekton, err := cluster.Tekton(t.Context(), os.Stderr)
	require.NoError(t, err)
	for _, name := range []string{"controller", "webhook", "entrypoint", "nop", "workingdirinit"} {
		// One of Tekton's containers calls its program by this path.
		program := "/ko-app/" + name
		require.NoError(t, clusters.BuildImage(t.Context(), image.Image{
			Tag: "tekton/" + name + ":dev", Entrypoint: []string{program},
			Files: []image.File{{Path: program, Source: filepath.Join(tekton.Binaries, name)}},
		}))
	}
	manifests := readManifests(t, filepath.Join(tekton.Source, "config"),
		"100-namespace/*.yaml", "20[01]-*.yaml", "300-crds/*.yaml", "config-*.yaml", "500-webhooks.yaml", "controller.yaml", "webhook.yaml")
	manifests = tektonImage.ReplaceAllString(manifests, "tekton/$1:dev")
	manifests = tektonShell.ReplaceAllString(manifests, cluster.ToolboxImage)
	installRunner(t, manifests, "tekton-pipelines", "tekton-pipelines-controller", "tekton-pipelines-webhook")
	awaitAdmission(t, sample(t, "tekton-pipelinerun.yaml", metav1.NamespaceDefault)[0])
}

// installRunner applies a CI system's manifests, removes them after the test and
// waits for its Deployments.
func installRunner(t *testing.T, manifests, namespace string, deployments ...string) {
	t.Helper()
	t.Cleanup(func() {
		// The test's own context has ended.
		output, err := tryKubectl(context.WithoutCancel(t.Context()), manifests, "delete", "--ignore-not-found", "--wait=false", "-f", "-")
		assert.NoError(t, err, output)
	})
	// Its custom resources' descriptions are too long for the annotation of a
	// client-side apply.
	mustKubectl(t, manifests, "apply", "--server-side", "-f", "-")
	for _, deployment := range deployments {
		mustKubectl(t, "", "-n", namespace, "rollout", "status", "deployment/"+deployment, "--timeout", patience.String())
	}
}

// awaitAdmission waits until the webhooks that are asked about an object answer:
// kube-proxy learns of their Pods after the Deployment is available, and some make
// their certificates themselves.
func awaitAdmission(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	var answer error
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(ctx context.Context) (bool, error) {
		answer = home.Create(ctx, object.DeepCopy(), client.DryRunAll)
		return !apierrors.IsInternalError(answer), nil
	})
	require.NoError(t, errors.Join(err, answer))
}

func readManifests(t *testing.T, dir string, patterns ...string) string {
	t.Helper()
	var documents []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, "%s has no %s", dir, pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			documents = append(documents, string(content))
		}
	}
	return strings.Join(documents, "\n---\n")
}
