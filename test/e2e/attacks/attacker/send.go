package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	kubeconfig = "/var/run/connectors.alauda.io/kubeconfig"
	// patience is how long an answer may take.
	patience = 10 * time.Second
)

// send sends the bytes of standard input, as they are, and prints what is answered
// until the other side has nothing more to say. The argument says where to:
//
//	proxy      the sidecar, after a CONNECT, inside TLS
//	localhost  the port for clients that know no proxy, inside TLS
//	plain      the sidecar, without CONNECT or TLS
//	HOST:PORT      anywhere, without TLS
//	tls:HOST:PORT  the same, inside TLS
//
// $TEMPORARY stands for the temporary token, $BASIC for what Proxy-Authorization
// makes of it, $SERVER for the host and port of the Connector's address, $PREFIX for its
// path on the port for clients that know no proxy.
func send(args []string) error {
	content, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	k := readKubeconfig()
	request := strings.NewReplacer("$TEMPORARY", k.temporary, "$BASIC", k.basic, "$SERVER", k.server, "$PREFIX", k.prefix).Replace(string(content))
	conn, err := k.dial(args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	fmt.Println("\nended:", err)
	return nil
}

// access is what the kubeconfig tells.
type access struct {
	server, prefix, temporary, basic string
}

var serverURL = regexp.MustCompile(`server: "?https://([^/\s"]+)([^\s"]*)`)

// readKubeconfig is empty where there is none.
func readKubeconfig() access {
	content, err := os.ReadFile(kubeconfig)
	if err != nil {
		return access{}
	}
	k := access{}
	for _, match := range serverURL.FindAllStringSubmatch(string(content), -1) {
		if strings.HasPrefix(match[1], "127.0.0.1") {
			k.prefix = match[2]
		} else {
			k.server = match[1]
		}
	}
	if _, after, found := strings.Cut(string(content), "proxy-url: "); found {
		line, _, _ := strings.Cut(after, "\n")
		if u, err := url.Parse(strings.Trim(line, "\" ")); err == nil && u.User != nil {
			k.temporary, _ = u.User.Password()
			k.basic = base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + k.temporary))
		}
	}
	return k
}

func (k access) dial(where string) (net.Conn, error) {
	address := map[string]string{"proxy": "127.0.0.1:17443", "plain": "127.0.0.1:17443", "localhost": "127.0.0.1:17444"}[where]
	if address == "" {
		address = strings.TrimPrefix(where, "tls:")
	}
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil || where == "plain" || where == address {
		return conn, err
	}
	if where == "proxy" {
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n", k.server, k.server, k.basic)
		answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // it has none
		if err != nil || answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("CONNECT is answered with %v: %w", answer, err)
		}
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil
}
