package proxybench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/bench/proc"
	"github.com/kube-connector/kube-connector/bench/sidecar"
)

const (
	// ours is the sidecar's name in reports: that of its container.
	ours = "connector-proxy"
	// direct is no proxy at all.
	direct  = "direct"
	haproxy = "haproxy"
	kubectl = "kubectl proxy"
)

// proxy is a way from the client to the upstream server.
type proxy struct {
	name string
	// mode is how clients reach it: tls or http, or the sidecar's two modes.
	mode string
	// start starts a process of it, nil for direct.
	start func(context.Context, *bed) (*proc.Process, *target, error)
}

// running is a proxy with its process, nil for direct.
type running struct {
	proxy
	process *proc.Process
	target  *target
	idle    figure // RSS before the first request, bytes
}

func (r *running) stop() {
	if r.process != nil {
		r.process.Stop()
	}
}

// run starts a proxy anew, and returns when its memory has settled.
func (b *bed) run(ctx context.Context, p proxy) (*running, error) {
	process, target, err := p.start(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	r := &running{proxy: p, process: process, target: target, idle: none}
	if process == nil {
		return r, nil
	}
	rss, err := process.SettledRSS(ctx)
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	r.idle = figure(rss)
	return r, nil
}

// runAll starts all proxies side by side.
func (b *bed) runAll(ctx context.Context, proxies []proxy) (all []*running, stop func(), err error) {
	all, errs := make([]*running, len(proxies)), make([]error, len(proxies))
	var starts sync.WaitGroup
	for i, p := range proxies {
		starts.Go(func() { all[i], errs[i] = b.run(ctx, p) })
	}
	starts.Wait()
	stop = func() {
		for _, r := range all {
			if r != nil {
				r.stop()
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		stop()
		return nil, nil, err
	}
	return all, stop, nil
}

// proxies are all that are measured. Neighbours are compared: ours stand next
// to HAProxy.
func proxies(kubectl string) []proxy {
	return slices.Concat(
		[]proxy{{direct, "tls", startDirect}, {haproxy, "tls", startHAProxy}},
		sidecars,
		[]proxy{{"nginx", "tls", startNginx}, {"reverseproxy", "tls", startReverseProxy}, kubectlProxy(kubectl)},
	)
}

// sidecars are the sidecar in both modes.
var sidecars = []proxy{
	{ours, "localhost", startSidecar("k8s-localhost")},
	{ours, "proxy", startSidecar("k8s")},
}

func startDirect(_ context.Context, b *bed) (*proc.Process, *target, error) {
	t, err := b.tlsTarget(b.upstream)
	if err == nil {
		t.authorization = "Bearer " + token
	}
	return nil, t, err
}

// tlsTarget is a server that shows the bed's certificate.
func (b *bed) tlsTarget(address string) (*target, error) {
	config, err := clientTLS(b.ca, serverName)
	return &target{address: address, host: serverName, tls: config}, err
}

func clientTLS(ca []byte, name string) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("there is no certificate in the CA")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: name, NextProtos: []string{"http/1.1"}}, nil
}

// startSidecar runs the sidecar as it ships, and follows one context of its
// kubeconfig as a client would.
func startSidecar(kubeContext string) func(context.Context, *bed) (*proc.Process, *target, error) {
	return func(ctx context.Context, b *bed) (*proc.Process, *target, error) {
		dir, err := b.place()
		if err != nil {
			return nil, nil, err
		}
		s, err := sidecar.Start(ctx, b.sidecar, filepath.Join(dir, "sidecar"), "https://"+b.upstream, token, b.ca)
		if err != nil {
			return nil, nil, err
		}
		err = s.Await(ctx)
		var t *target
		if err == nil {
			t, err = kubeconfigTarget(s.Kubeconfig, kubeContext)
		}
		if err != nil {
			s.Stop()
			return nil, nil, err
		}
		return s.Process, t, nil
	}
}

// kubeconfigTarget is what a context of a kubeconfig says.
func kubeconfigTarget(path, kubeContext string) (*target, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	cluster, user := config.Clusters[kubeContext], config.AuthInfos[kubeContext]
	if cluster == nil || user == nil {
		return nil, fmt.Errorf("%s has no context %s", path, kubeContext)
	}
	server, err := url.Parse(cluster.Server)
	if err != nil {
		return nil, err
	}
	t := &target{address: server.Host, host: server.Host, prefix: server.Path, authorization: "Bearer " + user.Token}
	if t.tls, err = clientTLS(cluster.CertificateAuthorityData, server.Hostname()); err != nil {
		return nil, err
	}
	if cluster.ProxyURL != "" {
		proxy, err := url.Parse(cluster.ProxyURL)
		if err != nil {
			return nil, err
		}
		password, _ := proxy.User.Password()
		t.address = proxy.Host
		t.connect = fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Basic %s\r\n\r\n", server.Host,
			base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)))
	}
	return t, nil
}
