package ambassador_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
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
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			big := make([]byte, 1<<20)
			for i := range big {
				big[i] = 'x'
			}
			conn := r.open(t)
			go io.WriteString(conn, r.line("GET", "/api")+"X: "+string(big)+"\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
			assert.Empty(t, up.requests())
		})
	}
}

// CONNECT is answered before anybody is known: little may be kept of it.
func TestConnectHeaderIsBounded(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	_, resp := r.connect(t, r.host(), r.authorization()+"\r\nX: "+strings.Repeat("x", 1<<10))
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	_, resp = r.connect(t, r.host(), r.authorization()+"\r\nX: "+strings.Repeat("x", 10<<10))
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}
