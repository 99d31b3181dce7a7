package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
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
	if inPod() && os.Getpid() != 1 {
		return errors.New("run is for the container's own entrypoint only: in a Pod it has to be process 1, and neither exec nor shareProcessNamespace is supported")
	}
	return nil
}

func inPod() bool { return os.Getenv("KUBERNETES_SERVICE_HOST") != "" }

func serve(ctx context.Context, o options, log *slog.Logger) error {
	// First: nothing else can fail for a reason outside this container.
	listeners, err := listen(o, log)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	identity, err := ambassador.OpenIdentity(o.stateDir, log)
	if err != nil {
		return err
	}
	directory := credential.NewDirectory(o.credentialsDir, !o.unsealed, log)
	var connectors []ambassador.Connector
	for _, c := range o.connectors {
		connectors = append(connectors, ambassador.Connector{Reference: c.reference, Address: c.address, Credential: directory.Source(c.reference)})
	}
	a, err := ambassador.New(ambassador.Options{Connectors: connectors, Identity: identity, DrainTimeout: o.drainTimeout, Log: log})
	if err != nil {
		return err
	}
	if err := writeKubeconfigs(o, identity); err != nil {
		return err
	}
	if err := writeInCluster(o, identity); err != nil {
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
	log.Info("ready", "version", version.String(), "proxy", local(o.proxyPort), "localhost", local(o.localhostPort), "in_cluster_port", o.inClusterPort, "metrics_port", o.metricsPort, "connectors", len(connectors))
	err = a.Serve(ctx, listeners)
	log.Info("stopped")
	return err
}

// writeKubeconfigs puts every kubeconfig into its place.
func writeKubeconfigs(o options, identity *ambassador.Identity) error {
	config := kubeconfig.Config{
		Mode:             o.kubeconfigMode,
		ProxyAddress:     local(o.proxyPort),
		LocalhostAddress: local(o.localhostPort),
		Token:            identity.Token(),
		CA:               identity.CA(),
	}
	for _, k := range o.kubeconfigs {
		config.Entries = o.entries(k.references)
		if err := kubeconfig.Write(k.path, config); err != nil {
			return err
		}
	}
	return nil
}

// listen opens the ports.
func listen(o options, log *slog.Logger) (l ambassador.Listeners, err error) {
	if l.Proxy, err = listenOn(o.proxyPort, log); err != nil {
		return l, err
	}
	if l.Localhost, err = listenOn(o.localhostPort, log); err != nil {
		closeAll(l)
		return l, err
	}
	if o.inClusterPort != 0 {
		if l.InCluster, err = listenOn(o.inClusterPort, log); err != nil {
			closeAll(l)
			return l, err
		}
	}
	if o.metricsPort == 0 {
		return l, nil
	}
	// On all addresses: who collects metrics is in no container of this Pod.
	l.Metrics, err = net.Listen("tcp", fmt.Sprintf(":%d", o.metricsPort))
	if err != nil {
		closeAll(l)
		return l, fmt.Errorf("%w; is the port taken by another container of this Pod? Give --metrics-port another", err)
	}
	return l, nil
}

func closeAll(l ambassador.Listeners) {
	for _, listener := range slices.Concat(l.Proxy, l.Localhost, l.InCluster) {
		listener.Close()
	}
	if l.Metrics != nil {
		l.Metrics.Close()
	}
}

// listenOn opens a port on localhost, for IPv6 too if the Pod has it.
func listenOn(port uint, log *slog.Logger) ([]net.Listener, error) {
	v4, err := net.Listen("tcp4", local(port))
	if err != nil {
		return nil, fmt.Errorf("%w; is the port taken by another container of this Pod? The annotation connectors.alauda.io/proxy-port picks another", err)
	}
	v6, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.FormatUint(uint64(port), 10)))
	if err != nil {
		log.Debug("not listening on IPv6", "error", err.Error())
		return []net.Listener{v4}, nil
	}
	return []net.Listener{v4, v6}, nil
}

// local is a port as a kubeconfig names it.
func local(port uint) string {
	return net.JoinHostPort(loopback, strconv.FormatUint(uint64(port), 10))
}
