package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/kube-connector/kube-connector/internal/version"
	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

// loopback is the address that a kubeconfig names. It is there in every Pod.
const loopback = "127.0.0.1"

// runServe is the command run.
func runServe(ctx context.Context, args []string, stderr io.Writer) error {
	if err := refuseExec(); err != nil {
		return err
	}
	if err := hideMemory(); err != nil {
		return err
	}
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: o.logLevel}))
	return serve(ctx, o, log)
}

// refuseExec refuses to run for somebody who has got into the container by
// exec: what he says must not decide where a token goes. The kubelet starts
// the real one as the first process.
func refuseExec() error {
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" && os.Getpid() != 1 {
		return errors.New("run is for the container's own entrypoint only: in a Pod it has to be process 1, and neither exec nor shareProcessNamespace is supported")
	}
	return nil
}

func serve(ctx context.Context, o options, log *slog.Logger) error {
	// First: nothing else can fail for a reason outside this container.
	listeners, err := listen(o.proxyPort, log)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	identity, err := ambassador.OpenIdentity(o.stateDir, log)
	if err != nil {
		return err
	}
	directory := credential.NewDirectory(o.credentialsDir, !o.unsealed, log)
	config := kubeconfig.Config{
		ProxyAddress: net.JoinHostPort(loopback, strconv.Itoa(int(o.proxyPort))),
		ProxyToken:   identity.Token(),
		CA:           identity.CA(),
	}
	var connectors []ambassador.Connector
	for _, c := range o.connectors {
		connectors = append(connectors, ambassador.Connector{Reference: c.reference, Address: c.address, Credential: directory.Source(c.reference)})
		config.Entries = append(config.Entries, kubeconfig.Entry{Connector: c.reference, Address: c.address})
	}
	a, err := ambassador.New(ambassador.Options{Connectors: connectors, Identity: identity, DrainTimeout: o.drainTimeout, Log: log})
	if err != nil {
		return err
	}
	if err := kubeconfig.Write(o.kubeconfig, config); err != nil {
		return err
	}
	// The kernel takes connections since listen: whoever reads the kubeconfig
	// from now on is served.
	ready, err := announce(o.stateDir)
	if err != nil {
		return err
	}
	defer ready.Close()

	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { directory.Run(ctx) })
	log.Info("ready", "version", version.String(), "address", config.ProxyAddress, "connectors", len(connectors))
	err = a.Serve(ctx, listeners...)
	log.Info("stopped")
	return err
}

// listen opens the port on localhost, for IPv6 too if the Pod has it.
func listen(port uint, log *slog.Logger) ([]net.Listener, error) {
	number := strconv.FormatUint(uint64(port), 10)
	v4, err := net.Listen("tcp4", net.JoinHostPort(loopback, number))
	if err != nil {
		return nil, fmt.Errorf("%w; is the port taken by another container of this Pod? The annotation connectors.alauda.io/proxy-port picks another", err)
	}
	v6, err := net.Listen("tcp6", net.JoinHostPort("::1", number))
	if err != nil {
		log.Debug("not listening on IPv6", "error", err.Error())
		return []net.Listener{v4}, nil
	}
	return []net.Listener{v4, v6}, nil
}
