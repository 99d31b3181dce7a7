package ambassador_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
)

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := ambassador.NewBoundedListener(inner, 1)
	defer l.Close()
	accepted := make(chan net.Conn, 4)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		return conn
	}
	dial()
	first := <-accepted
	resp, err := http.ReadResponse(bufio.NewReader(dial()), nil)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 503, resp.StatusCode)

	first.Close()
	first.Close() // counts once
	dial()
	second := <-accepted
	defer second.Close()
	over := dial()
	answer, err := io.ReadAll(over)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "too many connections")
}

func TestHeadersAreBounded(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = 'x'
	}
	conn := r.tunnel(t)
	go io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: "+r.address.Authority()+"\r\nX: "+string(big)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	assert.Empty(t, up.requests())
}
