package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"time"
)

// steal takes the sidecar's ports as soon as they are free, keeps them, prints what
// arrives there, and answers as if it were the sidecar.
func steal([]string) error {
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	taken := make(chan error)
	for _, address := range []string{"127.0.0.1:17443", "127.0.0.1:17444"} {
		go func() { taken <- take(address, certificate) }()
	}
	return <-taken
}

func take(address string, certificate tls.Certificate) error {
	var listener net.Listener
	for again := time.NewTicker(time.Millisecond); listener == nil; <-again.C {
		listener, _ = net.Listen("tcp", address)
	}
	fmt.Println("taken:", address)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := serve(conn, certificate); err != nil {
				fmt.Fprintln(os.Stdout, "ended:", err)
			}
		}()
	}
}

// serve speaks TLS if the client does, or after its CONNECT.
func serve(conn net.Conn, certificate tls.Certificate) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	first, err := reader.Peek(1)
	if err != nil {
		return err
	}
	if first[0] != 22 { // the record type of a handshake
		if err := show(reader); err != nil {
			return err
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	}
	inner := tls.Server(&buffered{Conn: conn, reader: reader}, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	return show(bufio.NewReader(inner))
}

func show(reader *bufio.Reader) error {
	request, err := http.ReadRequest(reader)
	if err != nil {
		return err
	}
	content, err := httputil.DumpRequest(request, true)
	fmt.Printf("received: %s\n", content)
	return err
}

type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
