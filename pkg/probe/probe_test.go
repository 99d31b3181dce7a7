package probe_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

const token = "the-token-that-nobody-may-see"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAlive(t *testing.T) {
	for status, want := range map[int]probe.Kind{
		200: 0, 301: 0, 401: 0, 403: 0, 404: 0, 429: 0, 499: 0,
		500: probe.ServerError, 502: probe.ServerError, 503: probe.ServerError, 599: probe.ServerError,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "GET /livez", r.Method+" "+r.URL.Path)
				assert.Empty(t, r.Header.Get("Authorization"), "liveness needs no token")
				w.WriteHeader(status)
			})
			requireKind(t, want, open(t, server.URL, server).Alive(t.Context()))
		})
	}
}

func TestAccepts(t *testing.T) {
	const me = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"jane"}}}`
	for name, tc := range map[string]struct {
		status int
		body   string
		want   probe.Kind
		text   string
	}{
		"created":           {201, me, 0, ""},
		"ok is not made":    {200, me, probe.UnexpectedAnswer, "200 OK"},
		"401":               {401, `{"kind":"Status"}`, probe.Unauthenticated, "401 Unauthorized"},
		"403":               {403, "", probe.Unauthorized, "403 Forbidden"},
		"429":               {429, "", probe.UnexpectedAnswer, "429 Too Many Requests"},
		"a redirect":        {302, "", probe.UnexpectedAnswer, "redirects elsewhere (302 Found), which is not followed; put the final address into spec.address"},
		"500":               {500, "", probe.ServerError, "500 Internal Server Error"},
		"an odd status":     {799, "", probe.ServerError, "(799)"},
		"a login page":      {200, "<html>please log in</html>", probe.UnexpectedAnswer, "check host, port and path of spec.address"},
		"another kind":      {200, `{"kind":"Status","status":"Success"}`, probe.UnexpectedAnswer, "answers otherwise than the class expects"},
		"nobody":            {201, `{"kind":"SelfSubjectReview"}`, probe.UnexpectedAnswer, "answers otherwise than the class expects"},
		"anonymous":         {201, strings.Replace(me, "jane", "system:anonymous", 1), probe.UnexpectedAnswer, "answers otherwise than the class expects"},
		"a name of numbers": {201, `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":[1]}}}`, probe.UnexpectedAnswer, "answers otherwise than the class expects"},
		// Servers before Kubernetes 1.28 have no SelfSubjectReview.
		"an old server":    {404, "404 page not found", probe.UnexpectedAnswer, "404 Not Found"},
		"the token echoed": {200, token, probe.UnexpectedAnswer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "POST /some/prefix/apis/authentication.k8s.io/v1/selfsubjectreviews", r.Method+" "+r.URL.Path)
				assert.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
				assert.Equal(t, "application/yaml", r.Header.Get("Content-Type"))
				assert.NotContains(t, r.Header, "Idempotency-Key")
				assert.Equal(t, "0", r.Header.Get("Content-Length"))
				w.Header().Set("Location", "https://elsewhere/"+token)
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			})
			err := open(t, server.URL+"/some/prefix", server).Accepts(t.Context(), token)
			requireKind(t, tc.want, err)
			if tc.want != 0 {
				require.ErrorContains(t, err, tc.text)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var stolen atomic.Int64
	thief := serve(t, func(http.ResponseWriter, *http.Request) { stolen.Add(1) })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	})
	target := open(t, server.URL, server, thief)
	require.NoError(t, target.Alive(t.Context()))
	requireKind(t, probe.UnexpectedAnswer, target.Accepts(t.Context(), token))
	require.Zero(t, stolen.Load())
}

func TestProxiesAreNotUsed(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, thief.URL)
	}
	// Not a loopback address, for which proxies are never used.
	address, err := connector.ParseAddress("https://proxied.invalid")
	require.NoError(t, err)
	requireKind(t, probe.ConnectionFailed, openAt(t, address, nil, probe.Options{}).Accepts(t.Context(), token))
	require.Zero(t, stolen.Load())
}

func TestCertificates(t *testing.T) {
	now := time.Now()
	ca := newCA(t, "Our CA")
	other := newCA(t, "Another CA")
	valid := leaf{name: "kube-apiserver", hosts: []string{"127.0.0.1"}, from: now.Add(-time.Hour), to: now.Add(time.Hour)}
	for name, tc := range map[string]struct {
		leaf func(*leaf)
		ca   authority
		want string // "" is trusted
	}{
		"good":      {func(*leaf) {}, ca, ""},
		"other CA":  {func(*leaf) {}, other, `the certificate of "CN=kube-apiserver" is not trusted: its CA "CN=Another CA" is unknown; put that CA into a Secret named by spec.caCertSecretRef, or under ca.crt beside the token`},
		"no name":   {func(l *leaf) { l.name = "" }, other, `the certificate of SHA-256 `},
		"bad name":  {func(l *leaf) { l.name = "a\"b\n" + strings.Repeat("x", 200) }, other, `"CN=a\?b?` + strings.Repeat("x", 60)},
		"host":      {func(l *leaf) { l.hosts = []string{"a.example", "b.example", "10.0.0.1", "c.example"} }, ca, `is not for 127.0.0.1 but for "a.example, b.example, c.example", …`},
		"no host":   {func(l *leaf) { l.hosts = nil }, ca, `but for no host at all`},
		"expired":   {func(l *leaf) { l.to = now.Add(-time.Minute) }, ca, `the certificate of "CN=kube-apiserver" has expired; renew it`},
		"not yet":   {func(l *leaf) { l.from = now.Add(time.Minute) }, ca, `is not valid yet; check the clocks`},
		"for mails": {func(l *leaf) { l.usage = x509.ExtKeyUsageEmailProtection }, ca, `must not be used for this by its own rules`},
	} {
		t.Run(name, func(t *testing.T) {
			l := valid
			l.usage = x509.ExtKeyUsageServerAuth
			tc.leaf(&l)
			server := unstarted(func(http.ResponseWriter, *http.Request) {})
			server.TLS = &tls.Config{Certificates: []tls.Certificate{tc.ca.issue(t, l)}}
			server.StartTLS()
			t.Cleanup(server.Close)
			address, err := connector.ParseAddress(server.URL)
			require.NoError(t, err)
			err = openAt(t, address, []*x509.Certificate{ca.certificate}, probe.Options{}).Alive(t.Context())
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			kind := probe.CertificateInvalid
			if bytes.Equal(tc.ca.certificate.Raw, other.certificate.Raw) {
				kind = probe.UnknownAuthority
			}
			requireKind(t, kind, err)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 400)
		})
	}
}

func TestSelfSigned(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	err := open(t, server.URL).Alive(t.Context())
	requireKind(t, probe.UnknownAuthority, err)
	require.ErrorContains(t, err, `the certificate of "O=Acme Co" is not trusted: it is its own CA; put that CA into`)
}

func TestConnectionFailed(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"closed at once": {func(net.Conn) {}, "the server "},
		"plain HTTP": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			fmt.Fprint(c, "HTTP/1.0 400 Bad Request\r\n\r\n"+token)
		}, "the server does not speak TLS"},
		"another protocol": {func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH "+token+"\r\n") }, "the server does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			url := listen(t, tc.serve)
			err := open(t, url).Alive(t.Context())
			requireKind(t, probe.ConnectionFailed, err)
			require.ErrorContains(t, err, tc.want)
		})
	}

	t.Run("refused", func(t *testing.T) {
		server := serve(t, func(http.ResponseWriter, *http.Request) {})
		server.Close()
		err := open(t, server.URL).Alive(t.Context())
		requireKind(t, probe.ConnectionFailed, err)
		require.ErrorContains(t, err, "connection refused")
	})
	t.Run("no such host", func(t *testing.T) {
		err := open(t, "https://no-such-host.invalid").Alive(t.Context())
		requireKind(t, probe.ConnectionFailed, err)
		require.ErrorContains(t, err, "the host name ")
	})
	t.Run("client certificates wanted", func(t *testing.T) {
		server := unstarted(func(http.ResponseWriter, *http.Request) {})
		server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		server.StartTLS()
		t.Cleanup(server.Close)
		err := open(t, server.URL, server).Alive(t.Context())
		requireKind(t, probe.ConnectionFailed, err)
		require.ErrorContains(t, err, "client certificates")
	})
	t.Run("TLS too old", func(t *testing.T) {
		server := unstarted(func(http.ResponseWriter, *http.Request) {})
		server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		server.StartTLS()
		t.Cleanup(server.Close)
		requireKind(t, probe.ConnectionFailed, open(t, server.URL, server).Alive(t.Context()))
	})
	t.Run("answer in the middle of which the server goes", func(t *testing.T) {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, token)
			panic(http.ErrAbortHandler)
		})
		requireKind(t, probe.ConnectionFailed, open(t, server.URL, server).Accepts(t.Context(), token))
	})
	t.Run("not HTTP after the handshake", func(t *testing.T) {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(conn, "220 "+token+" ESMTP\r\n")
				assert.NoError(t, conn.Close())
			}
		})
		requireKind(t, probe.ConnectionFailed, open(t, server.URL, server).Accepts(t.Context(), token))
	})
}

func TestHangingServerIsGivenUp(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"slow body": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				begin(w)
				<-over // and not until the client goes, or the answer would end then
			})
			t.Cleanup(func() { close(over) })
			err := hurried(t, server).Alive(t.Context())
			requireKind(t, probe.ConnectionFailed, err)
			require.ErrorContains(t, err, "no answer within 200ms")
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		err := open(t, server.URL, server).Alive(ctx)
		requireKind(t, probe.ConnectionFailed, err)
		require.ErrorContains(t, err, "the probe was cancelled")
	})
}

// A liveness probe is on a connection of its own, so that it sees the certificate
// that the server has now. Auth probes share one, and it does not stay.
func TestConnections(t *testing.T) {
	var opened, closed atomic.Int64
	server := unstarted(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		default:
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	target := open(t, server.URL, server)
	for range 3 {
		requireKind(t, probe.Unauthenticated, target.Accepts(t.Context(), token))
	}
	require.EqualValues(t, 1, opened.Load())
	for range 2 {
		require.NoError(t, target.Alive(t.Context()))
	}
	require.EqualValues(t, 3, opened.Load())
	require.Eventually(t, func() bool { return closed.Load() == 2 }, 5*time.Second, 10*time.Millisecond)
	target.Close()
	require.Eventually(t, func() bool { return closed.Load() == 3 }, 5*time.Second, 10*time.Millisecond)
}

// A server may close a connection that was kept just when the next probe is sent.
func TestClosedConnectionIsNoFailure(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	target := open(t, server.URL, server)
	for range 20 {
		requireKind(t, probe.Unauthenticated, target.Accepts(t.Context(), token))
		server.CloseClientConnections()
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Run("body", func(t *testing.T) {
		var written atomic.Int64
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			chunk := make([]byte, 64<<10)
			for r.Context().Err() == nil && written.Load() < 1<<30 {
				n, err := w.Write(chunk)
				if err != nil {
					return
				}
				written.Add(int64(n))
			}
		})
		require.NoError(t, open(t, server.URL, server).Alive(t.Context()))
		require.Less(t, written.Load(), int64(64<<20), "the rest of the body is not read")
	})
	t.Run("header", func(t *testing.T) {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
		requireKind(t, probe.ConnectionFailed, open(t, server.URL, server).Alive(t.Context()))
	})
}

// requireKind requires an error of a kind, 0 for none, and that it does not show
// the token.
func requireKind(t *testing.T, want probe.Kind, err error) {
	t.Helper()
	if want == 0 {
		require.NoError(t, err)
		return
	}
	var failure *probe.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, want, failure.Kind, "%v", err)
	require.NotContains(t, err.Error(), token)
	require.NotContains(t, fmt.Sprintf("%#v %+v", err, errors.Unwrap(err)), token)
}

// asker is a target with the questions of a class to it.
type asker struct {
	*probe.Target
	class     *probe.Class
	connector *v1alpha1.Connector
}

func (a asker) Alive(ctx context.Context) error {
	question, err := a.class.Liveness(a.connector)
	if err != nil {
		return err
	}
	return a.Target.Alive(ctx, question)
}

func (a asker) Accepts(ctx context.Context, token string) error {
	_, err := a.account(ctx, token)
	return err
}

func (a asker) account(ctx context.Context, token string) (probe.Account, error) {
	question, err := a.class.Auth("bearerTokenAuth", a.connector, map[string][]byte{"token": []byte(token)})
	if err != nil {
		return probe.Account{}, err
	}
	return a.Target.Accepts(ctx, question)
}

// open is the target at a URL that trusts the certificates of the servers, with the
// questions of the class k8s.
func open(t *testing.T, url string, trusted ...*httptest.Server) asker {
	t.Helper()
	address, err := connector.ParseAddress(url)
	require.NoError(t, err)
	return openAt(t, address, certificatesOf(trusted), probe.Options{})
}

// hurried is a target that is given up soon.
func hurried(t *testing.T, server *httptest.Server) asker {
	t.Helper()
	address, err := connector.ParseAddress(server.URL)
	require.NoError(t, err)
	return openAt(t, address, certificatesOf([]*httptest.Server{server}), probe.Options{Timeout: 200 * time.Millisecond})
}

func certificatesOf(servers []*httptest.Server) []*x509.Certificate {
	var certificates []*x509.Certificate
	for _, server := range servers {
		certificates = append(certificates, server.Certificate())
	}
	return certificates
}

func openAt(t *testing.T, address connector.Address, ca []*x509.Certificate, options probe.Options) asker {
	t.Helper()
	target, err := probe.NewTarget(address, ca, options)
	require.NoError(t, err)
	t.Cleanup(target.Close)
	content, err := os.ReadFile("../controller/classes/k8s.yaml")
	require.NoError(t, err)
	var class v1alpha1.ConnectorClass
	require.NoError(t, yaml.UnmarshalStrict(content, &class))
	compiled, err := probe.Compile(&class.Spec)
	require.NoError(t, err)
	return asker{target, compiled, &v1alpha1.Connector{Spec: v1alpha1.ConnectorSpec{Address: address.String()}}}
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := unstarted(handler)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func unstarted(handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	return server
}

// listen serves one connection of a protocol of the test's.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close() // some are closed by the client
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	return (&url.URL{Scheme: "https", Host: listener.Addr().String()}).String()
}
