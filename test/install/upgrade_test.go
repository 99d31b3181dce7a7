package install

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUpgrade goes from the version before to this one, and then changes a setting,
// while Pods run and are created all the time.
func TestUpgrade(t *testing.T) {
	nothingLeft := leavesNothing(t)
	kubectl(t, "apply", "-f", "testdata/before.yaml")
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	newTeam(t)

	// The version before closes its port the moment it is told to end, when the
	// node may still send it a request or two. Whatever makes Pods tries again.
	stop := stream(t, 3)
	makeTarget(t, "install")
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	assert.Equal(t, "kube-connector.invalid/webhook:"+version,
		kubectl(t, "-n", "connectors-system", "get", "deployment", "connector-webhook", "-o", "jsonpath={.spec.template.spec.containers[0].image}"))
	stop()
	appWorks(t)

	// This version does not.
	stop = stream(t, 0)
	kubectl(t, "-n", "connectors-system", "rollout", "restart", "deployment/connector-webhook")
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	stop()
	appWorks(t)

	removeTeam(t)
	makeTarget(t, "uninstall")
	nothingLeft()
}
