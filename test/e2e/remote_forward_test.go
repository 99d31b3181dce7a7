package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forwarders make a port-forward over one of its protocols.
var forwarders = map[string]func(w *way, address *url.URL, port string, stop, ready chan struct{}) (*portforward.PortForwarder, error){
	"SPDY": func(w *way, address *url.URL, port string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
		transport, upgrader, err := spdy.RoundTripperFor(w.config)
		if err != nil {
			return nil, err
		}
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
		return portforward.New(dialer, []string{port}, stop, ready, io.Discard, io.Discard)
	},
	"WebSocket": func(w *way, address *url.URL, port string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
		dialer, err := portforward.NewSPDYOverWebsocketDialer(address, w.config)
		if err != nil {
			return nil, err
		}
		return portforward.New(dialer, []string{port}, stop, ready, io.Discard, io.Discard)
	},
}

// TestPortForward: connections to a Pod go through the sidecar, several at once,
// over both protocols; what a client has sent before it stops sending is answered.
func TestPortForward(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Home)
	pod := sleeper(makeNamespace(t, home, nil))
	pod.Annotations = nil
	pod.Spec.Containers[0].Command = []string{"sh", "-c", "mkdir /tmp/www; yes 0123456789 | head -c 1048576 > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"}
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{
		PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
	}
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)
	page := strings.Repeat("0123456789\n", 1<<17)[:1<<20]

	for _, w := range ways {
		for protocol := range forwarders {
			t.Run(w.name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				open := w.forward(t, protocol, pod, "8080", nil)
				var wait sync.WaitGroup
				for range 4 {
					wait.Go(func() { assert.Equal(t, digest(page), digest(fetch(open))) })
				}
				wait.Wait()
				// Nobody listens there, and client-go ends all over that.
				closed := w.forward(t, protocol, pod, "8081", portforward.ErrLostConnectionToPod)
				assert.Empty(t, fetch(closed))
				assert.Equal(t, digest(page), digest(fetch(open)))
			})
		}
	}
}

// forward forwards a local port to one of the Pod's until the test ends.
func (w *way) forward(t *testing.T, protocol string, pod *corev1.Pod, port string, end error) (address string) {
	t.Helper()
	there := w.set(t).CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := forwarders[protocol](w, there, ":"+port, stop, ready)
	require.NoError(t, err)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		require.FailNow(t, "not forwarded", "%v", err)
	}
	t.Cleanup(func() {
		if end == nil {
			close(stop)
		}
		assert.Equal(t, end, receive(t, ended))
	})
	ports, err := forwarder.GetPorts()
	require.NoError(t, err)
	require.Len(t, ports, 1)
	return fmt.Sprint("127.0.0.1:", ports[0].Local)
}

// fetch sends a request, says that there is no more to come, and reads what is
// answered to the end.
func fetch(address string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return body
}
