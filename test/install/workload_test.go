package install

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// team is a team that uses the target cluster from home.
const team = "team-a"

// teamManifest has all that a team needs but the Pod. The CA is in the place from
// which only the ConfigMap of the controller brings it to Pods.
const teamManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {connectors.alauda.io/injection: enabled}}
---
apiVersion: v1
kind: Secret
metadata: {name: k8s-secret, namespace: team-a}
type: connectors.cpaas.io/bearer-token
stringData: {token: %s}
---
apiVersion: v1
kind: Secret
metadata: {name: k8s-ca, namespace: team-a}
data: {ca.crt: %s}
---
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata: {name: k8s-connector, namespace: team-a}
spec:
  connectorClassName: k8s
  address: %s
  auth: {name: bearerTokenAuth, secretRef: {name: k8s-secret}}
  caCertSecretRef: {name: k8s-ca}
`

// appManifest is a Pod that asks the target all the time, and ends at the first
// answer that it does not get.
const appManifest = `
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: team-a, annotations: {connectors.alauda.io/connectors: k8s-connector}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: ` + cluster.ToolboxImage + `
    imagePullPolicy: Never
    command: [sh, -c, "while kubectl get --raw /api >/dev/null; do sleep 0.5; done; exit 1"]
`

// newTeam makes the team, waits until its Connector works, and starts its app.
func newTeam(t *testing.T) {
	t.Helper()
	// /api is open to everybody who has logged in, so the account needs no rights.
	token, err := command(t.Context(), "", clusters.Kubectl, "--kubeconfig", clusters.Target.Kubeconfig, "-n", "default", "create", "token", "default")
	require.NoError(t, err)
	apply(t, fmt.Sprintf(teamManifest, strings.TrimSpace(token), base64.StdEncoding.EncodeToString(clusters.Target.CA), clusters.Target.Address))
	kubectl(t, "-n", team, "wait", "--for=condition=Ready", "--timeout=60s", "connector/k8s-connector")
	eventually(t, func() bool {
		_, err := tryKubectl(t, "-n", team, "get", "serviceaccount", "default")
		return err == nil
	}, "the default ServiceAccount does not appear")
	apply(t, appManifest)
	kubectl(t, "-n", team, "wait", "--for=condition=Ready", "--timeout=60s", "pod/app")
	appWorks(t)
}

// appWorks checks that the team's app has had every answer until now, and gets
// one now.
func appWorks(t *testing.T) {
	t.Helper()
	kubectl(t, "-n", team, "exec", "app", "-c", "app", "--", "kubectl", "get", "--raw", "/api")
	status := kubectl(t, "-n", team, "get", "pod", "app", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount} {.status.initContainerStatuses[0].restartCount}")
	assert.Equal(t, "Running 0 0", status, "phase, restarts of the app and of the sidecar")
}

// removeTeam removes the team's namespace, and waits for it.
func removeTeam(t *testing.T) {
	t.Helper()
	kubectl(t, "delete", "namespace", team)
}
