package proxybench

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kube-connector/kube-connector/bench/proc"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// install makes sure that the peers are there, and returns the path of kubectl.
func install(ctx context.Context, progress io.Writer) (kubectl string, err error) {
	err = cluster.InstallPackages(ctx, progress,
		cluster.Package{Name: "haproxy", Use: "a proxy to measure beside"},
		cluster.Package{Name: "nginx", Use: "a proxy to measure beside"})
	if err != nil {
		return "", err
	}
	dir, err := cluster.Binaries(ctx, progress)
	return filepath.Join(dir, "kubectl"), err
}

// Both of Debian's proxies get one process with one thread: a sidecar has no more
// than a fraction of a core, more threads cost them CPU per request, and a master
// process memory. For the same work they get the cipher that Go's TLS picks, and
// no limit on what one connection may carry, since ours has none. Their logs of
// requests are off, as is ours. They verify the upstream server, and keep
// connections to it.

const haproxyConfig = `
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  # Any idle connection for any request, as ours and nginx do.
  http-reuse always
frontend local
  bind {listen} ssl crt {dir}/server.pem alpn http/1.1 ssl-min-ver TLSv1.3
  http-request set-header Authorization "Bearer {token}"
  default_backend upstream
backend upstream
  server api {upstream} ssl verify required ca-file {dir}/ca.crt sni str({name}) alpn http/1.1 ssl-min-ver TLSv1.3
`

// nginx does not buffer responses: it would hold the events of watches back.
const nginxConfig = `
daemon off;
master_process off;
worker_rlimit_nofile 8192;
pid {place}/pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  upstream api {
    server {upstream};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen {listen} ssl;
    ssl_certificate {dir}/server.crt;
    ssl_certificate_key {dir}/server.key;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    location / {
      proxy_pass https://api;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {token}";
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {dir}/ca.crt;
      proxy_ssl_name {name};
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    }
  }
}
`

func startHAProxy(ctx context.Context, b *bed) (*proc.Process, *target, error) {
	return b.configured(ctx, haproxyConfig, "/usr/sbin/haproxy", "-db", "-f")
}

func startNginx(ctx context.Context, b *bed) (*proc.Process, *target, error) {
	return b.configured(ctx, nginxConfig, "/usr/sbin/nginx", "-e", "stderr", "-c")
}

// configured starts a program with the path of its configuration as the last
// argument.
func (b *bed) configured(ctx context.Context, config, program string, args ...string) (*proc.Process, *target, error) {
	place, err := b.place()
	if err != nil {
		return nil, nil, err
	}
	return b.listening(func(address string) (*proc.Process, error) {
		config := strings.NewReplacer("{listen}", address, "{upstream}", b.upstream, "{dir}", b.dir, "{place}", place,
			"{name}", serverName, "{token}", token).Replace(config)
		path := filepath.Join(place, "config")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		return proc.Start(ctx, nil, program, append(args, path)...)
	})
}

func startReverseProxy(ctx context.Context, b *bed) (*proc.Process, *target, error) {
	return b.listening(func(address string) (*proc.Process, error) {
		return proc.Start(ctx, nil, b.peer, "reverseproxy", "-dir", b.dir, "-listen", address, "-upstream", b.upstream)
	})
}

// listening starts a proxy at a free address and waits until it listens there.
func (b *bed) listening(start func(address string) (*proc.Process, error)) (*proc.Process, *target, error) {
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	t, err := b.tlsTarget(address)
	if err != nil {
		return nil, nil, err
	}
	process, err := start(address)
	if err != nil {
		return nil, nil, err
	}
	if _, err := process.AwaitListening(address); err != nil {
		process.Stop()
		return nil, nil, err
	}
	return process, t, nil
}

// kubectlProxy takes plain HTTP, and so does half the work.
func kubectlProxy(program string) proxy {
	start := func(ctx context.Context, b *bed) (*proc.Process, *target, error) {
		place, err := b.place()
		if err != nil {
			return nil, nil, err
		}
		kubeconfig := filepath.Join(place, "kubeconfig")
		if err := clientcmd.WriteToFile(b.kubeconfig(), kubeconfig); err != nil {
			return nil, nil, err
		}
		process, t, err := b.listening(func(address string) (*proc.Process, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return proc.Start(ctx, nil, program, "proxy", "--kubeconfig", kubeconfig, "--port", port)
		})
		if err == nil {
			t.tls = nil
		}
		return process, t, err
	}
	return proxy{kubectl, "http", start}
}

// kubeconfig is one for the upstream server.
func (b *bed) kubeconfig() clientcmdapi.Config {
	const name = "bench"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + b.upstream, CertificateAuthorityData: b.ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return *config
}
