package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// The tests of this file take parts of the product away, so nothing runs beside
// them.

const systemNamespace = "connectors-system"

// takeDown scales a Deployment of ours to nothing until the test ends, or until
// it is brought up again.
func takeDown(t *testing.T, name string) (bringUp func()) {
	t.Helper()
	replicas := kubectl(t, "", "-n", systemNamespace, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}")
	bringUp = func() {
		scale(t, name, replicas)
		awaitProduct(t)
	}
	t.Cleanup(bringUp)
	scale(t, name, "0")
	return bringUp
}

// scale waits until the Pods are as many, those that are still ending included.
func scale(t *testing.T, name, replicas string) {
	t.Helper()
	kubectl(t, "", "-n", systemNamespace, "scale", "deployment", name, "--replicas="+replicas)
	rolledOut(t, name)
}

// rolledOut waits until a Deployment of ours is what it should be and its former
// Pods are gone. It is for cleanups, too, when the test's own context has ended.
func rolledOut(t *testing.T, name string) {
	t.Helper()
	output := kubectl(t, "", "-n", systemNamespace, "rollout", "status", "deployment/"+name, "--timeout="+patience.String())
	require.Contains(t, output, "successfully rolled out")
	replicas := kubectl(t, "", "-n", systemNamespace, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}")
	err := wait.PollUntilContextTimeout(context.WithoutCancel(t.Context()), interval, patience, true, func(context.Context) (bool, error) {
		pods := kubectl(t, "", "-n", systemNamespace, "get", "pods", "-l", "app.kubernetes.io/name="+name, "-o", "name")
		return strconv.Itoa(strings.Count(pods, "pod/")) == replicas, nil
	})
	require.NoError(t, err, "former Pods of %s do not end", name)
}

// awaitProduct waits until the next test finds everything as it should be, the
// ways through kube-proxy included.
func awaitProduct(t *testing.T) {
	t.Helper()
	require.NoError(t, clusters.AwaitProduct(context.WithoutCancel(t.Context())))
}

// TestWebhookDown: Pods that ask, or whose namespace asks for all, are refused
// with a hint at the webhook, and no others are.
func TestWebhookDown(t *testing.T) {
	s := newScene(t)
	takeDown(t, "connector-webhook")
	awaitSentence(t, `failed calling webhook "annotated.connectors.alauda.io": …`, applyingPod(uses("good"))(s))
	assert.Contains(t, applyingPod("other: annotation")(s)(), "created")
	assert.Contains(t, applyingAlways("")(s)(), `failed calling webhook "always.connectors.alauda.io"`)
	for _, label := range []string{v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways} {
		namespace := s.newNamespace(map[string]string{v1alpha1.LabelInjection: label})
		out := podManifest("out", uses("good")+", "+v1alpha1.AnnotationInject+`: "false"`)
		assert.Contains(t, kubectl(t, out, "-n", namespace, "create", "--dry-run=server", "-f", "-"), "created")
	}
}

// TestControllerDown: Pods are injected all the same, with a warning, and work
// once it is up again.
func TestControllerDown(t *testing.T) {
	s := newScene(t)
	bringUp := takeDown(t, "connector-controller")
	s.kubectl(connectorManifest("late", faulty{}), "apply", "-f", "-")
	ready := s.kubectl("", "get", "connector", "late", "--no-headers")
	assert.NotContains(t, ready, "True", "READY is empty")
	pod := podManifest("late", uses("late"))
	awaitSentence(t, "Connector … has not been checked yet; if that does not pass in a moment, see whether the controller runs", func() string {
		return s.kubectl(pod, "create", "--dry-run=server", "-f", "-")
	})
	s.kubectl(pod, "apply", "-f", "-")
	awaitSentence(t, "the controller has not confirmed the address of the Connector yet, so the token goes nowhere; …", s.shell("late", getPods))
	bringUp()
	look := s.shell("late", "kubectl auth whoami")
	eventually(t, func() bool { return strings.Contains(look(), "system:serviceaccount:") }, "the address is not confirmed")
}

// TestSidecarImageMissing: the Pod's events name the image. Such a Pod can be
// deleted like any other.
func TestSidecarImageMissing(t *testing.T) {
	s := newScene(t)
	// As if the node did not have it: the name is what counts.
	patchWebhook(t, "--sidecar-image=kube-connector.invalid/sidecar:nowhere")
	awaitSentence(t, "container connector-proxy is not as injection makes it: it has the image …, and only … may hold a token; …", func() string {
		return s.kubectl(podManifest("unpulled", uses("good")), "create", "--dry-run=server", "-f", "-")
	})
	exempt(t, s.namespace)
	s.kubectl(podManifest("unpulled", uses("good")), "apply", "-f", "-")
	awaitSentence(t, "Failed to pull image …", func() string { return s.kubectl("", "describe", "pod", "unpulled") })
	assert.Contains(t, s.kubectl("", "delete", "pod", "unpulled", "--grace-period=30", "--timeout=60s"), `pod "unpulled" deleted`)
	assert.Contains(t, s.kubectl("", "get", "pod", "unpulled"), "NotFound")
}

// TestOldKubernetes: what kubectl says where there are no such policies. The
// programs' own words are tested in internal/setup.
func TestOldKubernetes(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"/api": `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "admissionregistration.k8s.io",
			"versions": [{"groupVersion": "admissionregistration.k8s.io/v1", "version": "v1"}]}]}`,
		"/apis/admissionregistration.k8s.io/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "admissionregistration.k8s.io/v1",
			"resources": [{"name": "mutatingwebhookconfigurations", "kind": "MutatingWebhookConfiguration", "verbs": ["get"]}]}`,
	}
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answers[r.URL.Path] == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answers[r.URL.Path]))
	}))
	defer old.Close()
	awaitSentence(t, `no matches for kind "ValidatingAdmissionPolicy" in version "admissionregistration.k8s.io/v1"`, func() string {
		return kubectl(t, "", "--kubeconfig=/dev/null", "--server="+old.URL, "apply", "--validate=false", "-k", "../../config/policy")
	})
}
