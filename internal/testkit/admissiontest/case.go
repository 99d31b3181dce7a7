// Package admissiontest makes Pods for the tests of injection: at random, and
// large ones.
package admissiontest

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// Namespace is that of all Pods.
const Namespace = "team-a"

// Case is a Pod and what counts beside it.
type Case struct {
	// Pod is raw, as the webhook gets it.
	Pod        []byte
	Namespace  inject.Namespace
	Connectors []*v1alpha1.Connector
	Options    inject.Options
}

// Plan is what the webhook does with a Pod in the place of the case's own.
func (c *Case) Plan(raw []byte) (inject.Result, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return inject.Result{}, err
	}
	request, err := inject.ReadRequest(&pod, c.Namespace)
	if err != nil {
		return inject.Result{}, err
	}
	if len(request.Connectors) == 0 {
		return inject.Result{Warnings: request.Warnings}, nil
	}
	var connectors []*v1alpha1.Connector
	for _, ref := range request.Connectors {
		i := slices.IndexFunc(c.Connectors, func(have *v1alpha1.Connector) bool {
			return have.Namespace == ref.Namespace && have.Name == ref.Name
		})
		if i < 0 {
			return inject.Result{}, fmt.Errorf("the test has no Connector %s", ref)
		}
		connectors = append(connectors, c.Connectors[i])
	}
	return inject.Plan(&pod, request, connectors, c.Options)
}

func newConnector(name string, generation int64) *v1alpha1.Connector {
	c := &v1alpha1.Connector{}
	c.Namespace, c.Name, c.Generation = Namespace, name, generation
	c.Spec.ConnectorClassName = "k8s"
	c.Spec.Address = "https://192.168.1.100:6443"
	c.Spec.Auth = &v1alpha1.ConnectorAuth{SecretRef: &corev1.ObjectReference{Name: name + "-secret"}}
	return c
}

// ManyVariables is a Pod with as many variables in its container, which refer to
// each other. It is too large for a file that anybody would read.
func ManyVariables(count int) *Case {
	env := make([]any, 0, count)
	for i := range count {
		value := fmt.Sprintf("value %d of $(VARIABLE_%d), $$%d", i, i-1, i)
		env = append(env, object{"name": fmt.Sprintf("VARIABLE_%d", i), "value": value})
	}
	return &Case{
		Pod: marshal(object{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": object{"name": "many-variables", "annotations": object{v1alpha1.AnnotationConnectors: "a"}},
			"spec":     object{"containers": []any{object{"name": "main", "image": "toolbox", "env": env}}},
		}),
		Namespace:  inject.Namespace{Name: Namespace, Injection: v1alpha1.InjectionEnabled},
		Connectors: []*v1alpha1.Connector{newConnector("a", 1)},
		Options:    inject.Options{Image: "sidecar:test"},
	}
}

type object = map[string]any

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of maps, lists and plain values
	}
	return b
}
