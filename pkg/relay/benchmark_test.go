package relay_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

// BenchmarkForward is one request and its response of 2 KiB, over one connection.
// Client and server do as little as they can, in the same process.
func BenchmarkForward(b *testing.B) {
	certificate, ca := testkit.Certificate(b, "origin", time.Now().Add(time.Hour))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	response := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2048\r\nDate: Sat, 21 Nov 2026 16:00:00 GMT\r\nAudit-Id: 00000000-0000-0000-0000-000000000000\r\n\r\n" + strings.Repeat("x", 2048))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, response)
		}
	}()
	pool := &relay.Pool{
		Address: listener.Addr().String(), TLS: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12},
		DialTimeout: patience, IdleTimeout: time.Minute, MaxIdle: 8, ResponseHeader: 64 << 10,
	}
	defer pool.Close()
	f := newFront(b, limits, func(x *relay.Exchange) {
		resp, err := x.Forward(pool, func(req *http.Request) {
			req.Host = "origin.example"
			req.Header["Authorization"] = []string{"Bearer token"}
		})
		if err == nil {
			x.Answer(resp)
		}
	})
	conn := f.dial(b)
	if err := conn.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	request := []byte("GET /api/v1/namespaces/default/pods/a HTTP/1.1\r\nHost: x\r\nUser-Agent: kubectl/v1.36.3\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer fake-token\r\n\r\n")
	got := make([]byte, len(response))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, got); err != nil {
			b.Fatal(err)
		}
	}
}

func answerAll(conn net.Conn, response []byte) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if bytes.Equal(line, []byte("\r\n")) {
			if _, err := conn.Write(response); err != nil {
				return
			}
		}
	}
}
