package controller

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// What the controller writes itself is no reason for a look, whether it hears of it
// before there is an answer or after; what others make of it is.
func TestConnections(t *testing.T) {
	const namespace = metav1.NamespaceAll
	key := types.NamespacedName{Namespace: "team-a", Name: "prod"}
	configMap := func(version, address string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: v1alpha1.ConnectionConfigMapName("prod"), ResourceVersion: version},
			Data:       map[string]string{"address": address},
		}
	}
	other := configMap("3", "ours")
	other.Name = "something"
	all := func(objects ...client.Object) func(*connections) {
		return func(c *connections) { c.All(namespace, objects, "9") }
	}
	// write writes, and hears of what happens meanwhile.
	write := func(meanwhile ...func(*connections)) func(*connections) {
		return func(c *connections) {
			written := configMap("", "ours")
			require.NoError(t, c.write(key, written, func() error {
				written.ResourceVersion = "2"
				for _, happens := range meanwhile {
					happens(c)
				}
				return nil
			}))
		}
	}
	seen := func(o client.Object) func(*connections) { return func(c *connections) { c.Seen(o) } }
	gone := func(o client.Object) func(*connections) { return func(c *connections) { c.Gone(o) } }
	fail := func(meanwhile ...func(*connections)) func(*connections) {
		return func(c *connections) {
			refused := errors.New("refused")
			require.ErrorIs(t, c.write(key, configMap("", "another"), func() error {
				for _, happens := range meanwhile {
					happens(c)
				}
				return refused
			}), refused)
		}
	}
	none := digest{}
	ours, theirs := digestOf(configMap("", "ours")), digestOf(configMap("", "theirs"))

	for name, test := range map[string]struct {
		events []func(*connections)
		looks  int
		want   digest
	}{
		"nothing":                         {nil, 0, none},
		"heard of after the answer":       {[]func(*connections){write(), seen(configMap("2", "ours"))}, 0, ours},
		"heard of before the answer":      {[]func(*connections){write(seen(configMap("2", "ours")))}, 0, ours},
		"changed after the answer":        {[]func(*connections){write(), seen(configMap("3", "theirs"))}, 1, theirs},
		"changed before the answer":       {[]func(*connections){write(seen(configMap("3", "theirs")))}, 1, theirs},
		"deleted before the answer":       {[]func(*connections){write(seen(configMap("2", "ours")), gone(configMap("3", "ours")))}, 1, none},
		"touched":                         {[]func(*connections){write(), seen(configMap("3", "ours"))}, 0, ours},
		"an older version comes late":     {[]func(*connections){write(), seen(configMap("1", "theirs"))}, 0, ours},
		"deleted":                         {[]func(*connections){write(), gone(configMap("3", "ours"))}, 1, none},
		"deleted before it was made anew": {[]func(*connections){write(), gone(configMap("1", "theirs"))}, 0, ours},
		"not written":                     {[]func(*connections){fail()}, 0, none},
		"not written over another":        {[]func(*connections){seen(configMap("1", "theirs")), fail(), gone(configMap("2", "theirs"))}, 2, none},
		"not written, changed meanwhile":  {[]func(*connections){write(), fail(seen(configMap("3", "theirs")))}, 1, theirs},
		"somebody's":                      {[]func(*connections){seen(other), gone(other)}, 0, none},
		"listed as it is":                 {[]func(*connections){write(), all(configMap("2", "ours"))}, 0, ours},
		"listed, changed meanwhile":       {[]func(*connections){write(), all(configMap("4", "theirs"))}, 1, theirs},
		"listed, deleted meanwhile":       {[]func(*connections){write(), all(other)}, 1, none},
		"listed, made meanwhile":          {[]func(*connections){all(configMap("4", "theirs"))}, 1, theirs},
		"a backup was restored":           {[]func(*connections){write(), all(configMap("1", "theirs")), seen(configMap("2", "ours"))}, 2, ours},
	} {
		t.Run(name, func(t *testing.T) {
			looks := 0
			c := &connections{look: func(of types.NamespacedName) {
				require.Equal(t, key, of)
				looks++
			}}
			for _, event := range test.events {
				event(c)
			}
			got, known := c.of(key)
			require.Equal(t, test.want != none, known)
			require.Equal(t, test.want, got)
			require.Equal(t, test.looks, looks)
		})
	}
}
