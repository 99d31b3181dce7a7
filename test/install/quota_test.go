package install

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// limitedManifest is a namespace with a quota that has room for limitedPod, and no
// room for a sidecar with the CPU limit that it has by default.
const limitedManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: limited, labels: {connectors.alauda.io/injection: enabled}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: budget, namespace: limited}
spec: {hard: {limits.cpu: 150m}}
---
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata: {name: k8s-connector, namespace: limited}
spec:
  connectorClassName: k8s
  address: %s
  auth: {name: bearerTokenAuth, secretRef: {name: k8s-secret}}
`

const limitedPod = `
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: limited, annotations: {connectors.alauda.io/connectors: k8s-connector}}
spec:
  containers:
  - {name: app, image: ` + cluster.ToolboxImage + `, resources: {limits: {cpu: 100m}}}
`

// newLimited makes the namespace. What it returns asks for the Pod there, and
// returns its sidecar's CPU limit.
func newLimited(t *testing.T) (ask func() (limit string, err error)) {
	t.Helper()
	apply(t, fmt.Sprintf(limitedManifest, clusters.Target.Address))
	ask = func() (string, error) {
		return command(t.Context(), limitedPod, clusters.Kubectl, "--kubeconfig", clusters.Home.Kubeconfig,
			"create", "--dry-run=server", "-o", "jsonpath={.spec.initContainers[0].resources.limits.cpu}", "-f", "-")
	}
	eventually(t, func() bool {
		_, err := ask()
		return err == nil || strings.Contains(err.Error(), "exceeded quota: budget, requested: limits.cpu=200m")
	}, "the quota does not count")
	return ask
}
