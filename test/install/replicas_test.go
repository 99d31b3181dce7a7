package install

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestInstalled looks at the product while it runs, in several ways.
func TestInstalled(t *testing.T) {
	nothingLeft := leavesNothing(t)
	earlier, err := clusters.Requests()
	require.NoError(t, err)
	makeTarget(t, "install")
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	newTeam(t)
	t.Run("the system namespace is restricted", testRestricted)
	t.Run("one replica after the other is evicted", testEviction)
	t.Run("one replica after the other is deleted", testDeletion)
	t.Run("the CA is lost", testNewCA)
	t.Run("one process after the other is killed", testKill)
	t.Run("another controller takes over", testTakeOver)
	t.Run("the sidecar has no API token", testSidecarHasNoToken)
	t.Run("what is granted is what is asked for", func(t *testing.T) { testRights(t, len(earlier)) })
	appWorks(t)
	removeTeam(t)
	makeTarget(t, "uninstall")
	nothingLeft()
}

// testRestricted: PodSecurity would refuse a Pod of ours that needed more, and
// does refuse others.
func testRestricted(t *testing.T) {
	_, err := tryKubectl(t, "-n", "connectors-system", "run", "root", "--image=none", "--dry-run=server")
	require.ErrorContains(t, err, `violates PodSecurity "restricted:latest"`)
}

// testEviction drains both replicas of each program, as an upgrade of the nodes
// does: the second is not evicted before the first one's replacement is there, and
// no Pod is refused meanwhile.
func testEviction(t *testing.T) {
	client, err := kubernetes.NewForConfig(clusters.Home.RESTConfig())
	require.NoError(t, err)
	evict := func(pod string) error {
		return client.PolicyV1().Evictions("connectors-system").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: "connectors-system"}})
	}
	stop := stream(t, 0)
	for _, program := range []string{"connector-webhook", "connector-controller"} {
		pods := strings.Fields(kubectl(t, "-n", "connectors-system", "get", "pods", "-l", "app.kubernetes.io/name="+program, "-o", "jsonpath={.items[*].metadata.name}"))
		require.Len(t, pods, 2, program)
		// The controller of budgets may not have seen both ready yet.
		eventually(t, func() bool { return !apierrors.IsTooManyRequests(evict(pods[0])) }, "%s is not evicted", pods[0])
		err := evict(pods[1])
		require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
		require.ErrorContains(t, err, "disruption budget")
		eventually(t, func() bool { return !apierrors.IsTooManyRequests(evict(pods[1])) }, "%s is not evicted", pods[1])
	}
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	stop()
}

// testTakeOver deletes the controller that leads; the other one sees the next
// change.
func testTakeOver(t *testing.T) {
	leader := func() string {
		holder := kubectl(t, "-n", "connectors-system", "get", "lease", "connector-controller", "-o", "jsonpath={.spec.holderIdentity}")
		pod, _, _ := strings.Cut(holder, "_")
		return pod
	}
	first := ""
	eventually(t, func() bool { first = leader(); return first != "" }, "nobody leads")
	kubectl(t, "-n", "connectors-system", "delete", "pod", first, "--wait=false")
	eventually(t, func() bool { second := leader(); return second != "" && second != first }, "nobody else leads")
	reason := func(secret string) string {
		kubectl(t, "-n", team, "patch", "connector", "k8s-connector", "--type=merge", "-p", `{"spec":{"auth":{"secretRef":{"name":"`+secret+`"}}}}`)
		generation := kubectl(t, "-n", team, "get", "connector", "k8s-connector", "-o", "jsonpath={.metadata.generation}")
		var ready []string
		eventually(t, func() bool {
			ready = strings.Fields(kubectl(t, "-n", team, "get", "connector", "k8s-connector", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].observedGeneration} {.status.conditions[?(@.type=="Ready")].reason}`))
			return len(ready) == 2 && ready[0] == generation && ready[1] != "Probing"
		}, "the new leader does not look at the Connector: %v", &ready)
		return ready[1]
	}
	assert.Equal(t, "SecretNotFound", reason("misspelt"))
	assert.Equal(t, "Ready", reason("k8s-secret"))
	require.NoError(t, clusters.AwaitProduct(t.Context()))
}
