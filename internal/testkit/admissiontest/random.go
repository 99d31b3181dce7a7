package admissiontest

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// Random is a case of a structurally valid Pod: that decodes, though the API
// server may refuse it, as injection may. The same bytes make the same case.
func Random(shape []byte) *Case {
	c := &choices{rest: shape}
	result := &Case{Options: inject.Options{Image: "sidecar:test"}}
	for i := range 20 {
		result.Connectors = append(result.Connectors, newConnector(connectorName(i), int64(i)))
	}
	result.Namespace = inject.Namespace{
		Name:       Namespace,
		Injection:  pick(c, v1alpha1.InjectionEnabled, v1alpha1.InjectionEnabled, v1alpha1.InjectionEnabled, v1alpha1.InjectionAlways, "", "disabled"),
		Connectors: pick(c, "", "c-0", "c-1, c-2", "team-b/c-0", "C"),
	}
	if c.oneIn(4) {
		result.Options.ImagePullSecret = pick(c, "pull", "registry")
	}
	if c.oneIn(4) {
		result.Options.CPULimit = resource.MustParse("200m")
	}
	g := generator{choices: c, resources: c.number(5), security: c.number(3)}
	result.Pod = marshal(g.pod())
	return result
}

func connectorName(i int) string { return fmt.Sprintf("c-%d", i) }

func connectorNames(count int) string {
	names := make([]string, 0, count)
	for i := range count {
		names = append(names, connectorName(i))
	}
	return strings.Join(names, ",")
}

// generator makes the parts of one Pod. Some shapes only matter if all its
// containers agree.
type generator struct {
	*choices
	resources, security int
	volumes             []any
	mounts              []any // what every container mounts
}

func (g *generator) pod() object {
	metadata := object{"name": "app", "annotations": g.annotations()}
	if g.oneIn(3) {
		metadata["generateName"] = "app-"
		metadata["ownerReferences"] = []any{object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "5c1d2e3f-0a1b-4c2d-8e3f-4a5b6c7d8e9f", "controller": true}}
	}
	if g.oneIn(3) {
		metadata["labels"] = pick[any](g.choices, nil, object{}, object{"app": "x"}, object{v1alpha1.LabelInjected: "false", "a.b/c": ""})
	}
	return g.ofTomorrow(object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": g.spec()})
}

// setting is an annotation with values that are good and some that are bad, or
// are so in some Pods.
type setting struct {
	key       string
	good, bad []string
}

var settings = []setting{
	{v1alpha1.AnnotationInject, []string{"true", ""}, []string{"false", "yes"}},
	{v1alpha1.AnnotationContainers, []string{"main", " main , init-0", "init-1,main-0"}, []string{"", "other", "connector-proxy"}},
	{v1alpha1.AnnotationMountPath, []string{"/opt/kube", "/data/kube"}, []string{"/", "/etc/kube", "/opt/kube/", "opt/kube", strings.Repeat("/x", 200)}},
	{v1alpha1.AnnotationKubeconfigMode, []string{"proxy", "localhost"}, []string{"direct", ""}},
	{v1alpha1.AnnotationInCluster, []string{"true", "true", "false"}, []string{"yes"}},
	{v1alpha1.AnnotationProxyPort, []string{"20000", "1024"}, []string{"443", "65534", "http", "-1"}},
	{v1alpha1.AnnotationProxyCPU, []string{"5m", "0.2"}, []string{"0", "1e9", "100", "x"}},
	{v1alpha1.AnnotationProxyCPULimit, []string{"200m", "1"}, []string{"1m", "-1", ""}},
	{v1alpha1.AnnotationProxyMemory, []string{"16Mi", "100M"}, []string{"1", "1Ti", "16 Mi"}},
	{v1alpha1.AnnotationProxyMemoryLimit, []string{"128Mi", "1Gi"}, []string{"16Mi", "9Gi"}},
	{v1alpha1.AnnotationLogLevel, []string{"debug", "error"}, []string{"loud", strings.Repeat("é", 100)}},
	{v1alpha1.AnnotationStatus, []string{"{}"}, []string{`{"connectors":[{"name":"team-a/c-0","generation":0}]}`}},
	{v1alpha1.KeyPrefix + "conectors", []string{"c-0"}, []string{""}},
	{"example.com/a.b", []string{"x"}, []string{"\x01"}},
}

func (g *generator) annotations() any {
	annotations := object{}
	connectors := setting{
		v1alpha1.AnnotationConnectors,
		[]string{"c-0", "c-0", "c-1, c-0", "team-a/c-3", connectorNames(16)},
		[]string{"", "c-0,c-0", "team-b/c-0", "C 0", "c-0,", connectorNames(17), strings.Repeat("x", 300)},
	}
	if !g.oneIn(4) {
		annotations[connectors.key] = g.value(connectors)
	}
	for _, s := range settings {
		if g.oneIn(6) {
			annotations[s.key] = g.value(s)
		}
	}
	if len(annotations) == 0 && g.oneIn(2) {
		return nil
	}
	return annotations
}

func (g *generator) value(s setting) string {
	if g.oneIn(16) {
		return pick(g.choices, s.bad...)
	}
	return pick(g.choices, s.good...)
}

// ofTomorrow gives an object a field that no API type has.
func (g *generator) ofTomorrow(o object) object {
	if g.oneIn(8) {
		o["fieldOfTomorrow"] = pick[any](g.choices, true, "x", 1.5, []any{object{"a": "b"}}, object{"keep": "me"})
	}
	return o
}

// fragment is a part of a Pod as people write it.
func fragment(text string) object {
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(fmt.Errorf("%s: %w", text, err))
	}
	return o
}

// add adds one of some fragments to an object.
func (g *generator) add(to object, from ...string) {
	for key, value := range fragment(pick(g.choices, from...)) {
		to[key] = value
	}
}
