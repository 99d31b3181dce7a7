package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// timeout bounds each request from dialling to the end of the answer.
	timeout = 5 * time.Second
	// maxAnswer bounds what is read of an answer, header and body each.
	maxAnswer = 64 << 10
)

// Target is an API server to probe. Close it after use.
type Target struct {
	base      string
	host      string
	transport *http.Transport
}

// NewTarget is the API server at an address. Its certificate is verified
// against the system's roots and the given certificates.
func NewTarget(address connector.Address, ca []*x509.Certificate) (*Target, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's root certificates: %w", err)
	}
	for _, certificate := range ca {
		roots.AddCert(certificate)
	}
	dialer := &net.Dialer{Timeout: timeout}
	return &Target{
		base: address.String(),
		host: address.Host(),
		transport: &http.Transport{
			Proxy:                  nil, // the token must not go to whoever HTTPS_PROXY names
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true, // a bounded body must not unpack to an unbounded one
			MaxIdleConnsPerHost:    1,
		},
	}, nil
}

// Close closes the connections to the target.
func (t *Target) Close() { t.transport.CloseIdleConnections() }

// answer is what a probe sees of a response.
type answer struct {
	status int
	body   []byte
}

// do sends one request. It goes through the transport itself and not an
// http.Client, because that would follow redirects. Errors are *Error.
func (t *Target) do(ctx context.Context, method, path, token string, body io.Reader) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	request, err := http.NewRequestWithContext(ctx, method, t.base+path, body)
	if err != nil {
		return answer{}, t.describe(err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "kube-connector-controller")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := t.transport.RoundTrip(request)
	if err != nil {
		return answer{}, t.describe(err)
	}
	defer func() { _ = response.Body.Close() }() // all that matters has been read
	read, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, t.describe(err)
	}
	return answer{status: response.StatusCode, body: read}, nil
}
