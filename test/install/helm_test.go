package install

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHelm installs the chart's archive, changes a setting, removes the release,
// takes up what it kept, and removes everything.
func TestHelm(t *testing.T) {
	nothingLeft := leavesNothing(t)
	output := helmRun(t, "lint", "--strict", chart)
	assert.Contains(t, output, "0 chart(s) failed")

	helmRun(t, "install", "kube-connector", chart, "--create-namespace", "--wait", "--timeout", "2m")
	newTeam(t)

	// A setting rolls the Pods of the webhook, and no others.
	generation := func(name string) string {
		return kubectl(t, "-n", "connectors-system", "get", "deployment", name, "-o", "jsonpath={.metadata.generation}")
	}
	assert.Equal(t, []string{"1", "1"}, []string{generation("connector-webhook"), generation("connector-controller")})
	limited := newLimited(t)
	_, err := limited()
	require.ErrorContains(t, err, "exceeded quota")
	stop := stream(t, 0)
	helmRun(t, "upgrade", "kube-connector", chart, "--set", "webhook.settings.log-level=DEBUG,webhook.settings.sidecar-cpu-limit=50m", "--wait", "--timeout", "2m")
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	stop()
	eventually(t, func() bool {
		// The Pods before still answer for a moment: the API server keeps its
		// connections to them.
		var limit string
		limit, err = limited()
		return err == nil && limit == "50m"
	}, "sidecars do not get the CPU limit that the setting says: %v", &err)
	kubectl(t, "delete", "namespace", "limited")
	assert.Equal(t, []string{"2", "1"}, []string{generation("connector-webhook"), generation("connector-controller")})
	appWorks(t)

	// A setting that is wrong says so, and the Pods before it go on.
	_, err = tryHelm(t, "upgrade", "kube-connector", chart, "--set", "webhook.settings.loglevel=DEBUG")
	require.NoError(t, err)
	eventually(t, func() bool {
		logs := kubectl(t, "-n", "connectors-system", "logs", "-l", "app.kubernetes.io/name=connector-webhook", "--tail=-1", "--ignore-errors")
		return strings.Contains(logs, `setting "loglevel" is not known; it must be one of`)
	}, "the webhook does not say which setting is wrong")
	kubectl(t, "-n", team, "run", "asks", "--image=none", "--annotations=connectors.alauda.io/connectors=k8s-connector", "--dry-run=server")
	helmRun(t, "rollback", "kube-connector", "2", "--wait", "--timeout", "2m")

	helmRun(t, "uninstall", "kube-connector", "--wait")
	assert.Equal(t, "k8s-connector", kubectl(t, "-n", team, "get", "connectors", "-o", "jsonpath={.items[*].metadata.name}"), "Connectors are people's")
	appWorks(t)
	helmRun(t, "install", "kube-connector", chart, "--set", "crds.keep=false", "--wait", "--timeout", "2m")
	appWorks(t)

	removeTeam(t)
	helmRun(t, "uninstall", "kube-connector", "--wait")
	kubectl(t, "delete", "namespace", "connectors-system")
	kubectl(t, "delete", "configmaps", "--all-namespaces", "-l", "connectors.alauda.io/connector")
	nothingLeft()
}
