package webhook

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func (v *victim) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", v.address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dialTLS makes a connection that speaks the protocol: http/1.1 or h2.
func (v *victim) dialTLS(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	conn := tls.Client(v.dial(t), &tls.Config{RootCAs: v.roots, ServerName: "localhost", NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12})
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	require.NoError(t, conn.HandshakeContext(t.Context()))
	return conn
}

// drip sends a byte at a time until the server ends the connection.
func drip(conn net.Conn, start string) {
	for _, err := io.WriteString(conn, start); err == nil; _, err = io.WriteString(conn, "x") {
		<-time.After(100 * time.Millisecond)
	}
}

// TestSlowClients: those that send nothing, or next to nothing, are sent away, and
// meanwhile those that are there are answered.
func TestSlowClients(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	v := newVictim(t)
	apiServer := v.caller(t)
	v.works(t, apiServer)

	const post = "POST /inject HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	kinds := []func() net.Conn{
		func() net.Conn { return v.dial(t) },
		func() net.Conn { return v.dialTLS(t, "http/1.1") },
		func() net.Conn { conn := v.dial(t); go drip(conn, "\x16\x03\x01\x02\x00"); return conn },
		func() net.Conn { conn := v.dialTLS(t, "http/1.1"); go drip(conn, post+"X: "); return conn },
		func() net.Conn {
			conn := v.dialTLS(t, "http/1.1")
			go drip(conn, post+"Content-Length: 7000000\r\n\r\n")
			return conn
		},
		func() net.Conn { conn := v.dialTLS(t, "h2"); go drip(conn, "PRI * HTTP/2.0\r\n"); return conn },
		func() net.Conn {
			conn := v.dialTLS(t, "h2")
			framer := begin(t, conn)
			for i := range uint32(10) {
				require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: header(), EndHeaders: true}))
			}
			return conn
		},
	}
	var open sync.WaitGroup
	for i := range maxConnections - 6 {
		kind := i % len(kinds)
		conn := kinds[kind]()
		if kind == len(kinds)-1 {
			continue // its requests end, and the connection with the time for idle ones
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		open.Go(func() {
			_, err := io.Copy(io.Discard, conn)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "a connection of kind %d is not ended", kind)
		})
	}
	v.works(t, apiServer)
	v.works(t, v.caller(t))
	for range 100 {
		v.dial(t) // more than are let in
	}
	v.works(t, apiServer)
	open.Wait()
	v.works(t, v.caller(t))
	assert.Eventually(t, func() bool { return v.busy.Load() == 0 }, time.Minute, 10*time.Millisecond, "requests that do not arrive are waited for")
}

// begin speaks HTTP/2 by hand.
func begin(t *testing.T, conn net.Conn) *http2.Framer {
	t.Helper()
	_, err := io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	require.NoError(t, framer.WriteSettings())
	require.NoError(t, framer.WriteSettingsAck())
	return framer
}

func header(more ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range append([]hpack.HeaderField{
		{Name: ":method", Value: http.MethodPost},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: InjectPath},
		{Name: "content-type", Value: "application/json"},
	}, more...) {
		if err := encoder.WriteField(field); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	return block.Bytes()
}

// TestFloods: what HTTP/2 lets a client do for little, it does not get much for.
func TestFloods(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	v := newVictim(t)
	const many = 5_000
	for name, flood := range map[string]func(*http2.Framer, uint32) error{
		"requests that are taken back": func(f *http2.Framer, i uint32) error {
			return errors.Join(
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: header(), EndHeaders: true}),
				f.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
		},
		"requests without end": func(f *http2.Framer, i uint32) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: header(), EndHeaders: true})
		},
		"a header without end": func(f *http2.Framer, i uint32) error {
			block := header(hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: strings.Repeat("x", 8<<10)})
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			}
			return f.WriteContinuation(1, false, block)
		},
		"settings": func(f *http2.Framer, i uint32) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: i})
		},
		"pings": func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := v.dialTLS(t, "h2")
			framer := begin(t, conn)
			for i := range uint32(many) {
				if flood(framer, i) != nil { // the server has ended the connection, as it may
					break
				}
			}
			conn.Close()
			assert.LessOrEqual(t, v.most.Load(), int64(2*maxStreams), "some of those that were taken back may still run")
			v.works(t, v.caller(t))
			assert.Eventually(t, func() bool { return v.busy.Load() == 0 }, time.Minute, 10*time.Millisecond)
		})
	}
}

// TestHeadersAreBounded: a header that is larger than any is not read.
func TestHeadersAreBounded(t *testing.T) {
	v := newVictim(t)
	for name, protocol := range map[string]string{"HTTP/1.1": "http/1.1", "HTTP/2": "h2"} {
		t.Run(name, func(t *testing.T) {
			client := v.caller(t)
			transport := client.Transport.(*http.Transport)
			transport.ForceAttemptHTTP2 = protocol == "h2"
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+v.address+InjectPath, http.NoBody)
			require.NoError(t, err)
			for i := range 30 {
				request.Header.Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
			}
			response, err := client.Do(request)
			if err == nil { // in HTTP/2 the client may have been told beforehand
				assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
				response.Body.Close()
			}
			assert.Zero(t, v.most.Load())
		})
	}
}
