package attacks

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "debugger_port_forward", actor: debugger, outcome: prevented,
	tries: "forwards the ports of the sidecar to his own machine",
	what:  "he is asked for the temporary token: 407 and 401",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, debugs)
		transport, upgrader, err := spdy.RoundTripperFor(mallory.config)
		require.NoError(t, err)
		to := mallory.set.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name(s.victim.Name).SubResource("portforward").URL()
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
		stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		forwarder, err := portforward.New(dialer, []string{"0:17443", "0:17444"}, stop, ready, io.Discard, &s.seen)
		require.NoError(t, err)
		go func() { ended <- forwarder.ForwardPorts() }()
		t.Cleanup(func() { close(stop) })
		select {
		case <-ready:
		case err := <-ended:
			require.NoError(t, err, "it ends before it is ready")
		}
		ports, err := forwarder.GetPorts()
		require.NoError(t, err)
		for i, test := range []struct{ request, want string }{
			{"CONNECT " + strings.TrimPrefix(bed.Clusters.Target.Address, "https://") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 407 "},
			{"GET /api HTTP/1.1\r\nHost: 127.0.0.1:17444\r\nConnection: close\r\n\r\n", "HTTP/1.1 401 "},
		} {
			conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[i].Local))))
			require.NoError(t, err)
			defer conn.Close()
			if ports[i].Remote == 17444 {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			_, err = io.WriteString(conn, test.request)
			require.NoError(t, err)
			answer, _ := io.ReadAll(conn)
			s.sees(string(answer))
			assert.True(t, strings.HasPrefix(string(answer), test.want), "%s is answered with %s", test.request, answer)
		}
	},
})
