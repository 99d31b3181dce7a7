package v1alpha1_test

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// The namespaces of these tests, by their label.
const (
	unlabelled = "policy-unlabelled"
	mislabeled = "policy-mislabelled"
	enabled    = "policy-enabled"
	always     = "policy-always"
)

const (
	connectors = v1alpha1.AnnotationConnectors
	typo       = v1alpha1.KeyPrefix + "connector"
)

// policies is where they are, and finalState and so on are those that refuse.
const (
	policies         = "../../../../config/policy"
	finalState       = "final_state.yaml"
	sidecarPolicy    = "sidecar.yaml"
	credentialPolicy = "credentials.yaml"
	connectorPolicy  = "connectors.yaml"
	execPolicy       = "exec.yaml"
	bindingPolicy    = "bindings.yaml"
)

// sidecarImage is that of the Pods in pkg/inject/testdata, and pinned is what
// stands for it in the policy.
const sidecarImage = "kube-connector/sidecar:dev"

var pinned = regexp.MustCompile(`kube-connector\.invalid/sidecar:[^' ]+`)

// policed is an API server with config/policy, and what it warned of since it
// was last asked.
type policed struct {
	client.Client
	mu       sync.Mutex
	warnings []string
}

func (p *policed) HandleWarningHeader(_ int, _, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, message, _ := strings.Cut(text, "': ") // what stands before it names the policy
	p.warnings = append(p.warnings, message)
}

// tell does something and returns what people are told.
func (p *policed) tell(t require.TestingT, do func() error) []string {
	p.mu.Lock()
	p.warnings = nil
	p.mu.Unlock()
	require.NoError(t, do(), "these policies refuse nothing")
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.warnings
}

func (p *policed) dryRun(ctx context.Context, object client.Object) func() error {
	return func() error { return p.Create(ctx, object, client.DryRunAll) }
}

// newPoliced has some of the policies of config/policy. Those that only warn do so
// of Pods that the others refuse, where nothing is injected.
func newPoliced(t *testing.T, files ...string) *policed {
	t.Helper()
	p := &policed{}
	c := rest.CopyConfig(config)
	c.WarningHandler = p
	var err error
	p.Client, err = client.New(c, client.Options{Scheme: scheme})
	require.NoError(t, err)
	for name, label := range map[string]string{
		unlabelled: "", mislabeled: "true", enabled: v1alpha1.InjectionEnabled, always: v1alpha1.InjectionAlways,
	} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if label != "" {
			namespace.Labels = map[string]string{v1alpha1.LabelInjection: label}
		}
		require.NoError(t, client.IgnoreAlreadyExists(p.Create(t.Context(), namespace)))
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}
		require.NoError(t, client.IgnoreAlreadyExists(p.Create(t.Context(), account)))
	}
	public := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespacePublic}}
	label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"connectors.alauda.io/injection":"always"}}}`))
	require.NoError(t, p.Patch(t.Context(), public, label))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: public.Name}}
	require.NoError(t, client.IgnoreAlreadyExists(p.Create(t.Context(), account)))
	for _, file := range files {
		apply(t, p, filepath.Join(policies, file))
	}
	return p
}

// newWarning has all policies that only warn.
func newWarning(t *testing.T) *policed {
	t.Helper()
	entries, err := os.ReadDir(policies)
	require.NoError(t, err)
	var files []string
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(policies, entry.Name()))
		require.NoError(t, err)
		if strings.Contains(string(content), "validationActions: [Warn]") {
			files = append(files, entry.Name())
		}
	}
	p := newPoliced(t, files...)
	// A policy works as soon as the API server has seen it and its binding.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		pod := workloads(unlabelled, nil, map[string]string{connectors: "a", typo: "b"})["Pod"]
		assert.Len(c, p.tell(c, p.dryRun(t.Context(), pod)), 2)
		job := workloads(enabled, map[string]string{connectors: "a"}, nil)["Job"]
		assert.Len(c, p.tell(c, p.dryRun(t.Context(), job)), 1)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{v1alpha1.LabelInjection: "x"}}}
		assert.Len(c, p.tell(c, p.dryRun(t.Context(), namespace)), 1)
	}, 30*time.Second, 100*time.Millisecond)
	return p
}

func apply(t *testing.T, c client.Client, file string) {
	t.Helper()
	for _, object := range decode(t, file) {
		require.NoError(t, c.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict)), file)
		t.Cleanup(func() {
			// Other tests of this package have no policies.
			assert.NoError(t, c.Delete(context.WithoutCancel(t.Context()), object))
		})
	}
}

// decode is what is in a file, made to fit the Pods in pkg/inject/testdata.
func decode(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	content = pinned.ReplaceAll(content, []byte(sidecarImage))
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		objects = append(objects, object)
	}
}

// workloads are all kinds that make Pods, with annotations of their own and of
// their template. A Pod has the latter.
func workloads(namespace string, own, template map[string]string) map[string]client.Object {
	labels := map[string]string{"app": "x"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	meta := metav1.ObjectMeta{Name: "x", Namespace: namespace, Annotations: own}
	pod := func(restart corev1.RestartPolicy) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: template},
			Spec:       corev1.PodSpec{RestartPolicy: restart, Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}
	}
	always, never := pod(corev1.RestartPolicyAlways), pod(corev1.RestartPolicyNever)
	return map[string]client.Object{
		"Pod":                   &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace, Labels: labels, Annotations: template}, Spec: always.Spec},
		"PodTemplate":           &corev1.PodTemplate{ObjectMeta: meta, Template: always},
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: labels, Template: &always}},
		"Deployment":            &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: always}},
		"ReplicaSet":            &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: always}},
		"StatefulSet":           &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: always}},
		"DaemonSet":             &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: always}},
		"Job":                   &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: never}},
		"CronJob": &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: "0 0 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: never}},
		}},
	}
}

// These policies only warn, and say what to do.
func TestPolicies(t *testing.T) {
	p := newWarning(t)
	notEnabled := func(namespace string) string {
		return "namespace " + namespace + " lacks the label connectors.alauda.io/injection=enabled, so its Pods get no sidecar: " +
			"kubectl label namespace " + namespace + " connectors.alauda.io/injection=enabled --overwrite"
	}
	asks := map[string]string{connectors: "k8s-connector"}
	defaults := map[string]string{v1alpha1.AnnotationInject: "true"}

	for kind := range workloads(enabled, nil, nil) {
		t.Run(kind, func(t *testing.T) {
			told := func(namespace string, own, template map[string]string) []string {
				return p.tell(t, p.dryRun(t.Context(), workloads(namespace, own, template)[kind]))
			}
			assert.Empty(t, told(unlabelled, nil, nil))
			for _, namespace := range []string{enabled, always} {
				assert.Empty(t, told(namespace, nil, nil))
				assert.Empty(t, told(namespace, nil, asks))
				assert.Empty(t, told(namespace, nil, defaults))
			}
			assert.Equal(t, []string{notEnabled(unlabelled)}, told(unlabelled, nil, asks))
			assert.Equal(t, []string{notEnabled(mislabeled)}, told(mislabeled, nil, asks))
			assert.Equal(t, []string{notEnabled(unlabelled)}, told(unlabelled, nil, defaults))
			assert.Equal(t, []string{notEnabled(metav1.NamespacePublic)}, told(metav1.NamespacePublic, nil, asks), "the label always does nothing there")
			assert.Empty(t, told(unlabelled, nil, map[string]string{connectors: "a", v1alpha1.AnnotationInject: "false"}))
			assert.Contains(t, strings.Join(told(enabled, nil, map[string]string{typo: "a"}), ""), typo)

			owned := workloads(unlabelled, nil, asks)[kind]
			yes := true
			owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "X", Name: "x", UID: "x", Controller: &yes}})
			assert.Empty(t, p.tell(t, p.dryRun(t.Context(), owned)), "nobody reads what a controller is told")
			if kind == "Pod" {
				return
			}
			path := map[string]string{"PodTemplate": "template", "CronJob": "spec.jobTemplate.spec.template"}[kind]
			if path == "" {
				path = "spec.template"
			}
			assert.Equal(t, []string{
				"annotation connectors.alauda.io/connectors on the " + kind + " itself does nothing; put it under " + path + ".metadata.annotations",
			}, told(enabled, asks, nil))
			assert.Empty(t, told(enabled, asks, asks))
			assert.Equal(t, []string{
				"annotation connectors.alauda.io/connectors, connectors.alauda.io/inject on the " + kind + " itself does nothing; put it under " + path + ".metadata.annotations",
			}, told(enabled, map[string]string{connectors: "a", v1alpha1.AnnotationInject: "true"}, nil))
		})
	}
	t.Run("injected for its csi volume", func(t *testing.T) {
		pod := workloads(unlabelled, nil, asks)["Pod"]
		pod.SetLabels(map[string]string{v1alpha1.LabelInjected: "true"})
		assert.Empty(t, p.tell(t, p.dryRun(t.Context(), pod)), "the webhook says it")
	})
	t.Run("keys of Pods", func(t *testing.T) { testPodKeys(t, p) })
	t.Run("keys of namespaces", func(t *testing.T) { testNamespaceKeys(t, p) })
	t.Run("too late", func(t *testing.T) {
		pod := workloads(enabled, nil, nil)["Pod"]
		require.NoError(t, p.Create(t.Context(), pod))
		pod.SetAnnotations(asks)
		update := func() error { return p.Update(t.Context(), pod) }
		assert.Equal(t, []string{
			"annotation connectors.alauda.io/connectors on a Pod that runs already does nothing; make the Pod anew with it",
		}, p.tell(t, update))
		pod.SetLabels(map[string]string{"other": "change"})
		assert.Empty(t, p.tell(t, update), "said once")
	})
}

func testPodKeys(t *testing.T, p *policed) {
	t.Helper()
	for name, tc := range map[string]struct {
		annotations, labels map[string]string
		want                []string
	}{
		"misspelt": {map[string]string{typo: "a"}, nil, []string{
			"annotation connectors.alauda.io/connector is not known to this version and does nothing; known under connectors.alauda.io/ are connectors, containers, in-cluster, inject, ",
		}},
		"another prefix": {map[string]string{"connector.alauda.io/connectors": "a"}, nil, []string{
			"annotation connector.alauda.io/connectors does nothing; Connectors are named in connectors.alauda.io/connectors",
		}},
		"an old prefix":    {map[string]string{"connectors.cpaas.io/connector": "a"}, nil, []string{"annotation connectors.cpaas.io/connector does nothing; "}},
		"somebody else's":  {map[string]string{"example.com/connectors": "a", "connectors.example.com/inject": "a"}, map[string]string{"connectors": "a"}, nil},
		"injected already": {map[string]string{typo: "a"}, map[string]string{v1alpha1.LabelInjected: "true"}, nil},
		"the namespace's label": {nil, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}, []string{
			"label connectors.alauda.io/injection does nothing on a Pod; Connectors are named in the annotation connectors.alauda.io/connectors, ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := workloads(enabled, nil, tc.annotations)["Pod"]
			pod.SetLabels(tc.labels)
			told := p.tell(t, p.dryRun(t.Context(), pod))
			require.Len(t, told, len(tc.want), "%v", told)
			for i := range tc.want {
				assert.Contains(t, told[i], tc.want[i])
			}
		})
	}
	// The policy and the code know the same keys.
	told := strings.Join(p.tell(t, p.dryRun(t.Context(), workloads(enabled, nil, map[string]string{typo: "a"})["Pod"])), "")
	_, list, found := strings.Cut(told, "known under connectors.alauda.io/ are ")
	require.True(t, found, told)
	known := []string{v1alpha1.AnnotationStatus} // not for people to write
	for name := range strings.SplitSeq(list, ", ") {
		known = append(known, v1alpha1.KeyPrefix+name)
	}
	assert.ElementsMatch(t, annotationsInCode(t), known, "config/policy/unknown_keys.yaml and keys.go differ")
	pod := workloads(enabled, nil, map[string]string{v1alpha1.AnnotationStatus: "a"})["Pod"]
	assert.Empty(t, p.tell(t, p.dryRun(t.Context(), pod)))
}

// annotationsInCode are the values of the constants Annotation… of keys.go.
func annotationsInCode(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	require.NoError(t, err)
	var keys []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Annotation") {
			sum, ok := spec.Values[0].(*ast.BinaryExpr)
			require.True(t, ok, "%s is not KeyPrefix + name", spec.Names[0].Name)
			name, ok := sum.Y.(*ast.BasicLit)
			require.True(t, ok)
			keys = append(keys, v1alpha1.KeyPrefix+strings.Trim(name.Value, `"`))
		}
		return true
	})
	require.Contains(t, keys, connectors)
	return keys
}

func testNamespaceKeys(t *testing.T, p *policed) {
	t.Helper()
	const remedy = "kubectl label namespace x connectors.alauda.io/injection=enabled --overwrite"
	for name, tc := range map[string]struct {
		labels, annotations map[string]string
		want                string
	}{
		"enabled":     {map[string]string{v1alpha1.LabelInjection: "enabled"}, nil, ""},
		"none of us":  {map[string]string{"injection": "true"}, map[string]string{"a": "b"}, ""},
		"defaults":    {map[string]string{v1alpha1.LabelInjection: "enabled"}, map[string]string{connectors: "a, x/b.c"}, ""},
		"always":      {map[string]string{v1alpha1.LabelInjection: "always"}, map[string]string{connectors: "a"}, ""},
		"true":        {map[string]string{v1alpha1.LabelInjection: "true"}, nil, `label connectors.alauda.io/injection has the value "true", which this version does not know, so Pods get no sidecar; only "enabled" and "always" are allowed: ` + remedy},
		"empty":       {map[string]string{v1alpha1.LabelInjection: ""}, nil, `has the value "", which this version does not know`},
		"misspelt":    {map[string]string{v1alpha1.KeyPrefix + "inject": "enabled"}, nil, "label connectors.alauda.io/inject does nothing on a namespace; to let its Pods use Connectors: " + remedy},
		"prefix":      {map[string]string{"connector.alauda.io/injection": "enabled"}, nil, "label connector.alauda.io/injection does nothing on a namespace"},
		"annotation":  {nil, map[string]string{v1alpha1.LabelInjection: "enabled"}, "annotation connectors.alauda.io/injection does nothing on a namespace; only connectors.alauda.io/connectors does, beside the label: " + remedy},
		"no label":    {nil, map[string]string{connectors: "a"}, "annotation connectors.alauda.io/connectors does nothing without the label connectors.alauda.io/injection; to let Pods use these Connectors: " + remedy},
		"no defaults": {map[string]string{v1alpha1.LabelInjection: "always"}, nil, "Pods that name no Connector get no sidecar, because the annotation connectors.alauda.io/connectors is missing; name the Connectors for them: kubectl annotate namespace x connectors.alauda.io/connectors=NAME"},
		"elsewhere":   {map[string]string{v1alpha1.LabelInjection: "always"}, map[string]string{connectors: "a,y/b"}, `annotation connectors.alauda.io/connectors has the value "a,y/b", so Pods that get these Connectors are refused; name Connectors of this namespace, with commas between`},
		"exempt":      {map[string]string{v1alpha1.LabelPolicy: "exempt"}, nil, "label connectors.alauda.io/policy=exempt: nothing keeps those who create Pods in namespace x from the tokens of its Connectors; to end that: kubectl label namespace x connectors.alauda.io/policy-"},
		"off":         {map[string]string{v1alpha1.LabelPolicy: "off"}, nil, `label connectors.alauda.io/policy has the value "off", which this version does not know and which changes nothing; only "exempt" is allowed`},
		"no name":     {map[string]string{v1alpha1.LabelInjection: "enabled"}, map[string]string{connectors: "a,,b"}, `annotation connectors.alauda.io/connectors has the value "a,,b"`},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: tc.labels, Annotations: tc.annotations}}
			told := p.tell(t, p.dryRun(t.Context(), namespace))
			if tc.want == "" {
				assert.Empty(t, told)
				return
			}
			require.Len(t, told, 1)
			assert.Contains(t, told[0], tc.want)
		})
	}
	t.Run("of the system", func(t *testing.T) {
		label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"connectors.alauda.io/injection":"always"},"annotations":{"connectors.alauda.io/connectors":"a"}}}`))
		system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}}
		assert.Equal(t, []string{
			"label connectors.alauda.io/injection=always does nothing in namespace kube-system, whose Pods must not wait for the webhook; let them ask: " +
				strings.Replace(remedy, " x ", " kube-system ", 1),
		}, p.tell(t, func() error { return p.Patch(t.Context(), system, label, client.DryRunAll) }))
	})
}
