package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// DefaultTimeout bounds each request from dialling to the end of the answer.
	DefaultTimeout = 5 * time.Second
	// IdleTimeout is how long a connection is kept for the next auth probe.
	IdleTimeout = 20 * time.Second

	// maxAnswer bounds what is read of an answer, header and body each.
	maxAnswer = 64 << 10
	// idleConnections is how many connections to a target are kept.
	idleConnections = 2
)

// Options of a Target.
type Options struct {
	// Timeout bounds each request, DefaultTimeout if it is zero.
	Timeout time.Duration
	// ProxyFromEnvironment says that the proxy of HTTPS_PROXY is used, by CONNECT,
	// except for what NO_PROXY names.
	ProxyFromEnvironment bool
}

// Target is a server to probe. It may be used by several goroutines. Close it after
// use.
type Target struct {
	address connector.Address
	timeout time.Duration
	// fresh uses a connection once; pooled keeps some for the next request.
	fresh, pooled *http.Transport
}

// NewTarget is the server at an address. Its certificate is verified against the
// system's roots and the given certificates.
func NewTarget(address connector.Address, ca []*x509.Certificate, options Options) (*Target, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's root certificates: %w", err)
	}
	for _, certificate := range ca {
		roots.AddCert(certificate)
	}
	t := &Target{address: address, timeout: options.Timeout}
	if t.timeout <= 0 {
		t.timeout = DefaultTimeout
	}
	dialer := &net.Dialer{Timeout: t.timeout, Control: control}
	t.pooled = &http.Transport{
		Proxy:                  nil, // the secret must not go to whoever HTTPS_PROXY names
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    t.timeout,
		ResponseHeaderTimeout:  t.timeout,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // a bounded body must not unpack to an unbounded one
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        IdleTimeout,
	}
	if options.ProxyFromEnvironment {
		t.pooled.Proxy = proxyFromEnvironment(httpproxy.FromEnvironment().ProxyFunc())
	}
	t.fresh = t.pooled.Clone()
	t.fresh.DisableKeepAlives = true
	return t, nil
}

var errProxy = errors.New("the proxy of the environment is no http or https proxy")

// proxyFromEnvironment lets nothing but proxies through that are used by CONNECT.
func proxyFromEnvironment(choose func(*url.URL) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		proxy, err := choose(r.URL)
		if err != nil || proxy != nil && proxy.Scheme != "http" && proxy.Scheme != "https" {
			return nil, errProxy // whose text may have a password in it
		}
		return proxy, nil
	}
}

// Close closes the connections to the target that nobody uses.
func (t *Target) Close() {
	t.pooled.CloseIdleConnections()
	t.fresh.CloseIdleConnections()
}

// answer is what a probe sees of a response.
type answer struct {
	status int
	header http.Header
	body   []byte
	// json is the body as JSON, nil if it is none.
	json func() any
}

// do sends one request. It goes through the transport itself and not an
// http.Client, because that would follow redirects. Errors are *Error.
func (t *Target) do(ctx context.Context, transport *http.Transport, q *Question) (*answer, error) {
	if err := CheckAddress(t.address); err != nil {
		return nil, err // the dialer would not see it behind a proxy
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()

	u := *q.url
	// Servers choose by the host, and some know it without the usual port only.
	u.Scheme, u.Host = "https", strings.TrimSuffix(t.address.Authority(), ":443")
	request, err := http.NewRequestWithContext(ctx, q.method, u.String(), http.NoBody)
	if err != nil {
		return nil, t.describe(err)
	}
	request.Header = q.header.Clone()
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "kube-connector-controller")
	}
	// It changes nothing, so it may be sent again if the server has just closed the
	// connection that was kept. Without a value it stays here.
	request.Header["Idempotency-Key"] = []string{}

	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, t.describe(err)
	}
	defer func() { _ = response.Body.Close() }() // all that matters has been read
	// One byte more, so that a body of just that size is read to its end.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, t.describe(err)
	}
	body = body[:min(len(body), maxAnswer)]
	return &answer{
		status: response.StatusCode,
		header: response.Header,
		body:   body,
		json: sync.OnceValue(func() (value any) {
			if json.Unmarshal(body, &value) != nil {
				return nil
			}
			return value
		}),
	}, nil
}
