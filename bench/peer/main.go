// Peer is what the benchmark of the proxies needs beside them: a server that
// answers as an API server does, and the plainest proxy that Go's standard
// library makes. Each runs as a process of its own, and links no more than it
// needs, so that its memory can be measured.
//
//	peer upstream -dir DIR -listen ADDRESS
//	peer reverseproxy -dir DIR -listen ADDRESS -upstream ADDRESS
//
// DIR has server.crt, server.key, ca.crt and token.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/kube-connector/kube-connector/internal/program"
)

func main() { os.Exit(program.Main("peer", run)) }

// config is what both programs are told.
type config struct {
	dir, listen, upstream string
	token                 string
}

func run(ctx context.Context, args []string, _, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("say upstream or reverseproxy")
	}
	var c config
	flags := flag.NewFlagSet("peer "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.dir, "dir", "", "where the certificates and the token are")
	flags.StringVar(&c.listen, "listen", "", "where to listen")
	flags.StringVar(&c.upstream, "upstream", "", "the server that a proxy is for")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(c.dir, "token"))
	if err != nil {
		return err
	}
	c.token = string(token)
	switch args[0] {
	case "upstream":
		return c.serve(ctx, newUpstream(c.token), "h2", "http/1.1")
	case "reverseproxy":
		proxy, err := newReverseProxy(c)
		if err != nil {
			return err
		}
		return c.serve(ctx, proxy, "http/1.1")
	}
	return errors.New("say upstream or reverseproxy")
}

// serve serves over TLS until ctx ends.
func (c *config) serve(ctx context.Context, handler http.Handler, protocols ...string) error {
	server := &http.Server{
		Addr: c.listen, Handler: handler,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that go away
	}
	if len(protocols) == 1 { // not nil, so that net/http does not turn HTTP/2 on
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	context.AfterFunc(ctx, func() { server.Close() })
	err := server.ListenAndServeTLS(filepath.Join(c.dir, "server.crt"), filepath.Join(c.dir, "server.key"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
