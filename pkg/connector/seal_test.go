package connector_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestSealHoldsForNothingElse(t *testing.T) {
	ref := connector.Reference{Namespace: "team-a", Name: "cluster"}
	address, err := connector.ParseAddress("https://api.example.com:6443/prefix")
	require.NoError(t, err)
	other, err := connector.ParseAddress("https://api.example.com:6443")
	require.NoError(t, err)
	ca := []byte("ca")
	seal := connector.Seal("token", ref, address, ca)

	require.True(t, connector.SealedBy(seal, "token", ref, address, ca))
	require.NotContains(t, seal, "token")
	for name, held := range map[string]bool{
		"another token":     connector.SealedBy(seal, "token2", ref, address, ca),
		"another connector": connector.SealedBy(seal, "token", connector.Reference{Namespace: "team-a", Name: "other"}, address, ca),
		"another namespace": connector.SealedBy(seal, "token", connector.Reference{Namespace: "team-b", Name: "cluster"}, address, ca),
		"another address":   connector.SealedBy(seal, "token", ref, other, ca),
		"no address":        connector.SealedBy(seal, "token", ref, connector.Address{}, ca),
		"another CA":        connector.SealedBy(seal, "token", ref, address, []byte("cb")),
		"no CA":             connector.SealedBy(seal, "token", ref, address, nil),
		"no seal":           connector.SealedBy("", "token", ref, address, ca),
	} {
		require.False(t, held, name)
	}
}
