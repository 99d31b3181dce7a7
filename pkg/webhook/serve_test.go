package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit"
)

// TestDrain: a server that was told to end serves on, those that come anew and those
// that are there, and ends their connections itself, with an answer.
func TestDrain(t *testing.T) {
	ca := testkit.NewAuthority(t)
	chain, key := ca.Issue(t, "localhost")
	certificate, err := tls.X509KeyPair(chain, key)
	require.NoError(t, err)
	s := &server{
		address:        freeAddress(t),
		handler:        http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }),
		getCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil },
		drain:          5 * time.Second,
	}
	require.Error(t, s.started(nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	require.Eventually(t, func() bool { return s.started(nil) == nil }, 10*time.Second, 10*time.Millisecond)

	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca.PEM))
	keeps, comes := newCaller(roots, s.address), newCaller(roots, s.address)
	closes, err := keeps.call(t)
	require.NoError(t, err)
	require.False(t, closes)

	cancel()
	require.Eventually(t, func() bool {
		closes, err := comes.call(t)
		require.NoError(t, err)
		return closes
	}, 10*time.Second, 10*time.Millisecond, "connections are kept")
	closes, err = keeps.call(t)
	require.NoError(t, err)
	assert.True(t, closes)
	require.NoError(t, <-ended)
	_, err = comes.call(t)
	require.Error(t, err)
}

// caller calls like the API server: it keeps its connections and speaks HTTP/1.1.
type caller struct {
	client *http.Client
	url    string
}

func newCaller(roots *x509.CertPool, address string) caller {
	return caller{url: "https://" + address, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}}}
}

// call tells whether the server ends the connection.
func (c caller) call(t *testing.T) (closes bool, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, http.NoBody)
	require.NoError(t, err)
	response, err := c.client.Do(request)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.Close, nil
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer func() { assert.NoError(tb, listener.Close()) }()
	return listener.Addr().String()
}
