package inject_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// Whose defaults a Pod gets decides whether its namespace is looked up.
func TestUsesDefaults(t *testing.T) {
	const named, opt = v1alpha1.AnnotationConnectors, v1alpha1.AnnotationInject
	type by map[string]bool // the value of the namespace's label
	for name, test := range map[string]struct {
		annotations map[string]string
		want        by
	}{
		"nothing":   {nil, by{"always": true}},
		"true":      {map[string]string{opt: "true"}, by{"always": true, "enabled": true}},
		"false":     {map[string]string{opt: "false"}, nil},
		"a word":    {map[string]string{opt: "yes"}, nil},
		"own":       {map[string]string{named: "a"}, nil},
		"true, own": {map[string]string{named: "a", opt: "true"}, nil},
	} {
		pod := &corev1.Pod{}
		pod.Annotations = test.annotations
		for _, label := range []string{"always", "enabled", "", "true"} {
			assert.Equal(t, test.want[label], inject.UsesDefaults(pod, label), "%s, where the label is %q", name, label)
		}
	}
}

// kubectl debug --copy-to drops annotations and labels. The copy has a sidecar
// already; where every Pod is injected, that is no reason to refuse it.
func TestLeavesACopyAlone(t *testing.T) {
	for _, name := range []string{"always", "always-own-connectors", "always-csi", "always-csi-no-defaults"} {
		t.Run(name, func(t *testing.T) {
			pod, c := injected(t, name)
			pod.Annotations, pod.Labels = nil, nil
			pod.Spec.Containers[0].Command = []string{"sh"}
			for _, defaults := range []string{c.namespace.Connectors, "team-b/shop, "} { // which are not for it
				c.namespace.Connectors = defaults
				request, err := inject.ReadRequest(pod, c.namespace)
				require.NoError(t, err)
				assert.Equal(t, inject.SkipCopy, request.Skip)
				assert.Empty(t, request.Connectors)
				assert.Empty(t, request.Warnings)
			}
		})
	}
}

// A Pod that was injected without having asked is one that has a token: what
// would only be left alone before is refused now.
func TestLooksAtAnInjectedPodAgain(t *testing.T) {
	for want, change := range map[string]func(pod *corev1.Pod){
		"hostNetwork":                         func(pod *corev1.Pod) { pod.Spec.HostNetwork = true },
		"with args that injection did not gi": func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Args[1] += "0" },
	} {
		pod, c := injected(t, "always")
		change(pod)
		_, err := c.plan(marshal(t, pod))
		require.ErrorContains(t, err, want)
	}
}

func TestMountPath(t *testing.T) {
	for path, allowed := range map[string]bool{
		"/opt/kube": true, "/var/run/kube": true, "/home/user/.kube": true, "/run/secretsnot/a": true, "/a/b-c_d.e/f": true,
		"/a/" + strings.Repeat("a", 252): true, "/a/" + strings.Repeat("a", 253): false,
		"": false, "/": false, "//": false, "/kube": false, "opt/kube": false, "./opt/kube": false,
		"/opt/kube/": false, "/opt//kube": false, "/opt/./kube": false, "/opt/../etc": false, "/opt/kube/..": false,
		"/opt/a:b": false, "/opt/a,b": false, "/opt/a b": false, "/opt/$(HOME)": false, "/opt/a\nb": false, `/opt/a\b`: false, "/opt/é": false,
		"/proc/self": false, "/sys/fs": false, "/dev/shm": false, "/etc/kubernetes": false, "/usr/bin": false, "/etc": false,
		"/var/run": false, "/var/run/secrets": false, "/var/run/secrets/kubernetes.io/serviceaccount": false,
		"/run/secrets": false, "/run/secrets/eks.amazonaws.com": false,
	} {
		pod := &corev1.Pod{}
		require.NoError(t, json.Unmarshal([]byte(`{"spec":{"containers":[{"name":"main"}]}}`), pod))
		pod.Annotations = map[string]string{v1alpha1.AnnotationConnectors: "a", v1alpha1.AnnotationMountPath: path}
		_, err := inject.ReadRequest(pod, inject.Namespace{Name: namespace, Injection: v1alpha1.InjectionEnabled})
		if allowed {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "annotation connectors.alauda.io/mount-path has the value ", "%q", path)
		}
	}
}
