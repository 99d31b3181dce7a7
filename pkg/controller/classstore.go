package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// classStore keeps what each class was compiled to. A class is compiled once for
// all its Connectors, however many there are.
type classStore struct {
	mu sync.Mutex
	// byName has the last generation that was seen of each class.
	byName map[string]*compiledClass
}

// compiledClass is one generation of one class.
type compiledClass struct {
	uid        types.UID
	generation int64

	// ready is what the class's own Ready says.
	ready finding
	// probes are its probes, nil if it is not ready.
	probes *probe.Class
}

// compile is what a class compiles to.
func (s *classStore) compile(class *v1alpha1.ConnectorClass) *compiledClass {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byName[class.Name]; c != nil && c.uid == class.UID && c.generation == class.Generation {
		return c
	}
	c := &compiledClass{uid: class.UID, generation: class.Generation}
	c.probes, c.ready = validateClass(&class.Spec)
	if s.byName == nil {
		s.byName = make(map[string]*compiledClass)
	}
	s.byName[class.Name] = c
	return c
}

// forget drops a class that does not exist any more.
func (s *classStore) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}
