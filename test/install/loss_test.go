package install

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/kube-connector/kube-connector/test/cluster"
)

// testNewCA loses the CA twice, the second time while the webhook is restarted: no
// Pod is refused, and at the end every replica serves with the new one.
func testNewCA(t *testing.T) {
	first := signers(t)
	require.Len(t, first, 1, "the replicas have different CAs")
	stop := stream(t, 0)
	newCA := func() {
		before := signers(t)
		kubectl(t, "-n", "connectors-system", "delete", "secret", "connector-webhook-ca")
		eventually(t, func() bool {
			after := signers(t)
			return len(after) == 1 && after[0] != before[0]
		}, "the replicas do not change over to a new CA")
	}
	newCA()
	kubectl(t, "-n", "connectors-system", "rollout", "restart", "deployment/connector-webhook")
	newCA()
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	stop()
}

// testDeletion deletes each replica, first as people do, then without any grace
// period: it goes on serving until no node sends it anything.
func testDeletion(t *testing.T) {
	for _, how := range [][]string{nil, {"--grace-period=0", "--force"}} {
		stop := stream(t, 0)
		for _, replica := range replicas(t) {
			kubectl(t, append([]string{"-n", "connectors-system", "delete", "pod", replica.Name, "--wait=false"}, how...)...)
			eventually(t, func() bool {
				ready := 0
				for _, now := range replicas(t) {
					if now.Name != replica.Name && slices.ContainsFunc(now.Status.Conditions, isReady) {
						ready++
					}
				}
				return ready == 2
			}, "%s is not replaced", replica.Name)
		}
		stop()
	}
}

// lostAtMost is how many Pods may be refused because a process of the webhook was
// killed, of 20 a second: two seconds' worth, if all went to that replica.
const lostAtMost = 40

// testKill kills the process of each replica. This is what cannot go unseen: nobody
// repeats the calls that it was about to answer, and until its node has taken it out
// of the Service, which takes a second or two, or it is back, calls still go to where
// nobody listens. The API server refuses those Pods at once, and whatever makes Pods
// tries again. What can be shown is that it is few of them, and that it ends.
func testKill(t *testing.T) {
	for _, replica := range replicas(t) {
		stop := stream(t, lostAtMost)
		pid, err := cluster.ContainerProcess(replica.Status.ContainerStatuses[0].ContainerID)
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, func() bool {
			for _, now := range replicas(t) {
				if now.Name == replica.Name {
					status := now.Status.ContainerStatuses[0]
					return status.RestartCount > replica.Status.ContainerStatuses[0].RestartCount && status.Ready
				}
			}
			return false
		}, "the replica does not come back")
		require.NoError(t, clusters.AwaitProduct(t.Context()))
		stop()
		stream(t, 0)()
	}
}

func isReady(c corev1.PodCondition) bool {
	return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
}

// replicas are the Pods of the webhook, without those that are about to go.
func replicas(t *testing.T) []corev1.Pod {
	t.Helper()
	client, err := kubernetes.NewForConfig(clusters.Home.RESTConfig())
	require.NoError(t, err)
	pods, err := client.CoreV1().Pods("connectors-system").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=connector-webhook"})
	require.NoError(t, err)
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// signers are the CAs that replicas serve with, each once, by their keys.
func signers(t *testing.T) []string {
	t.Helper()
	var all []string
	seen := map[string]bool{}
	for _, replica := range replicas(t) {
		leaf, err := servedBy(t, &replica)
		if err != nil {
			continue // it comes or goes
		}
		if key := fmt.Sprintf("%x", leaf.AuthorityKeyId); !seen[key] {
			seen[key] = true
			all = append(all, key)
		}
	}
	return all
}

// servedBy is the certificate that a Pod of the webhook serves with.
func servedBy(t *testing.T, pod *corev1.Pod) (*x509.Certificate, error) {
	t.Helper()
	config := clusters.Home.RESTConfig()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	transport, upgrader, err := spdy.RoundTripperFor(config)
	require.NoError(t, err)
	address := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	stop, ready := make(chan struct{}), make(chan struct{})
	forward, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:9443"}, stop, ready, io.Discard, io.Discard)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- forward.ForwardPorts() }()
	defer func() {
		close(stop)
		<-ended
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	ports, err := forward.GetPorts()
	require.NoError(t, err)
	tlsDialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	connection, err := tlsDialer.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		return nil, err
	}
	defer func() { assert.NoError(t, connection.Close()) }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
