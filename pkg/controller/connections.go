package controller

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// connections knows of the ConfigMap beside each Connector no more than a hash,
// which is enough to see whether it is as it must be.
type connections struct {
	// look calls for a look at a Connector whose ConfigMap has changed.
	look func(types.NamespacedName)

	mu sync.Mutex
	// known is by the Connector.
	known map[types.NamespacedName]connection
}

// connection is one version of a ConfigMap.
type connection struct {
	version string
	digest  digest
}

// connectionSelector selects the ConfigMaps that are beside Connectors. One that
// lost the label is as good as deleted.
func connectionSelector() (labels.Selector, error) {
	exists, err := labels.NewRequirement(v1alpha1.LabelConnector, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	return labels.NewSelector().Add(*exists), nil
}

// connectorOf is the Connector that a ConfigMap is beside. It goes by the name and
// not by the owner reference, so that a ConfigMap that lost the reference or got
// in the way of ours counts too.
func connectorOf(configMap client.Object) (types.NamespacedName, bool) {
	name, ok := strings.CutSuffix(configMap.GetName(), v1alpha1.ConnectionConfigMapName(""))
	return types.NamespacedName{Namespace: configMap.GetNamespace(), Name: name}, ok
}

// of is the hash of the ConfigMap beside a Connector, if there is one.
func (c *connections) of(connector types.NamespacedName) (digest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[connector]
	return known.digest, ok
}

// write notes what is about to be there by our own doing and does it: we may hear of
// it before there is an answer, and it needs no second look. If it fails, there still
// is what was there before.
func (c *connections) write(connector types.NamespacedName, configMap *corev1.ConfigMap, do func() error) error {
	c.mu.Lock()
	if c.known == nil {
		c.known = make(map[types.NamespacedName]connection)
	}
	before, ok := c.known[connector]
	expected := connection{before.version, digestOf(configMap)}
	c.known[connector] = expected
	c.mu.Unlock()

	if err := do(); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.known[connector] != expected: // something else has happened
		case ok:
			c.known[connector] = before
		default:
			delete(c.known, connector)
		}
		return fmt.Errorf("writing ConfigMap %q: %w", configMap.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[connector]; ok { // or it is gone again, and a look was called for
		c.note(connector, configMap)
	}
	return nil
}

// note notes a version of a ConfigMap unless a newer one is known, and reports
// whether that says something else, with c.mu held.
func (c *connections) note(connector types.NamespacedName, configMap *corev1.ConfigMap) bool {
	before, ok := c.known[connector]
	if ok && !isOlder(before.version, configMap.ResourceVersion) {
		return false
	}
	if c.known == nil {
		c.known = make(map[types.NamespacedName]connection)
	}
	now := connection{configMap.ResourceVersion, digestOf(configMap)}
	c.known[connector] = now
	return !ok || before.digest != now.digest
}

// Seen implements follow.Handler.
func (c *connections) Seen(configMap client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key, ok := connectorOf(configMap); ok && c.note(key, configMap.(*corev1.ConfigMap)) {
		c.look(key)
	}
}

// Gone implements follow.Handler.
func (c *connections) Gone(configMap client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, _ := connectorOf(configMap)
	if before, ok := c.known[key]; ok && isOlder(before.version, configMap.GetResourceVersion()) {
		delete(c.known, key)
		c.look(key)
	}
}

// All implements follow.Handler. What is said counts even where something newer is
// known: after a backup was restored that is no more.
func (c *connections) All(namespace string, configMaps []client.Object, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := maps.Clone(c.known)
	maps.DeleteFunc(c.known, func(key types.NamespacedName, _ connection) bool {
		return namespace == metav1.NamespaceAll || key.Namespace == namespace
	})
	for _, configMap := range configMaps {
		if key, ok := connectorOf(configMap); ok {
			c.note(key, configMap.(*corev1.ConfigMap))
		}
	}
	for key, was := range before {
		if c.known[key].digest != was.digest {
			c.look(key)
		}
	}
	for key := range c.known {
		if _, ok := before[key]; !ok {
			c.look(key)
		}
	}
}

// digest is a hash of all that matters of a ConfigMap.
type digest [sha256.Size]byte

// digestKey is where the hash of a ConfigMap's data is that has none any more. The
// API server allows no colon in a key, so nobody can pretend to be one.
const digestKey = "sha256:"

// onlyDigest puts a hash in the place of a ConfigMap's data. It may be asked again
// about what it has changed already.
func onlyDigest(object any) (any, error) {
	if configMap, ok := object.(*corev1.ConfigMap); ok {
		configMap.Data = map[string]string{digestKey: dataOf(configMap)}
		configMap.BinaryData = nil
		configMap.Annotations = nil
		configMap.ManagedFields = nil
	}
	return object, nil
}

// digestOf hashes what is in a ConfigMap, the label by which it is found, and who
// controls it.
func digestOf(configMap *corev1.ConfigMap) digest {
	var controller types.UID
	if owner := metav1.GetControllerOfNoCopy(configMap); owner != nil {
		controller = owner.UID
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %s", configMap.Labels[v1alpha1.LabelConnector], controller, dataOf(configMap)))
}

// dataOf is a hash of the data.
func dataOf(configMap *corev1.ConfigMap) string {
	if known, ok := configMap.Data[digestKey]; ok {
		return known
	}
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(configMap.Data)) {
		fmt.Fprintf(hash, "%s %d ", key, len(configMap.Data[key]))
		hash.Write([]byte(configMap.Data[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(configMap.BinaryData)) {
		fmt.Fprintf(hash, "binary %s", key) // there should be none, so its value does not matter
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}
