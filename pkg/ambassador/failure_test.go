package ambassador_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

func restHTTPClient(c *rest.Config) (*http.Client, error) { return rest.HTTPClientFor(c) }

func TestUntrustedServerGetsNoToken(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			_, otherCA := testkit.Certificate(t, "other", time.Now().Add(time.Hour))
			for name, tc := range map[string]struct {
				address string
				ca      string
				message string
			}{
				"unknown authority": {up.URL, otherCA, "unknown authority"},
				"no CA at all":      {up.URL, "", "unknown authority"},
				"another name":      {strings.Replace(up.URL, "127.0.0.1", "localhost", 1), up.ca, "is not for that name"},
			} {
				t.Run(name, func(t *testing.T) {
					r := start(t, address(t, tc.address), newSource(&credential.Snapshot{CA: tc.ca, Token: realToken}))
					resp := r.get(t, "/api")
					assert.Equal(t, 502, resp.StatusCode)
					assert.Contains(t, statusOf(t, resp).Message, tc.message)
				})
			}
			assert.Empty(t, up.requests())
		})
	}
}

func TestServerThatCannotBeReached(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			plain := httptest.NewServer(http.HandlerFunc(ok))
			defer plain.Close()
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			closed.Close()
			for name, tc := range map[string]struct{ address, message string }{
				"plain HTTP": {strings.Replace(plain.URL, "http", "https", 1), "does not speak TLS"},
				"nobody":     {"https://" + closed.Addr().String(), "refuses connections"},
			} {
				t.Run(name, func(t *testing.T) {
					r := start(t, address(t, tc.address), newSource(&credential.Snapshot{Token: realToken}))
					resp := r.get(t, "/api")
					assert.Equal(t, 502, resp.StatusCode)
					s := statusOf(t, resp)
					assert.Contains(t, s.Message, tc.message)
					assert.Contains(t, s.Message, "connector team-a/cluster: ")
				})
			}
		})
	}
}

// A server that sends the token back in a malformed answer does not get it into
// an error or a log.
func TestTokenIsNotInErrors(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					defer conn.Close()
					io.WriteString(conn, r.Header.Get("Authorization")+"\r\n\r\n")
				}
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			resp := r.get(t, "/api?token=in-the-query")
			assert.Equal(t, 502, resp.StatusCode)
			assert.Contains(t, statusOf(t, resp).Message, "[redacted]")
			assert.NotContains(t, r.log.String(), "in-the-query")
		})
	}
}

// What a server sends in place of an answer may be long. It is quoted in a header
// and in the log.
func TestFailureIsToldInShort(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			io.WriteString(conn, strings.Repeat("x", 100<<10)+"\r\n\r\n")
			conn.Close()
		}
	})
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			resp := r.get(t, "/api")
			assert.Equal(t, 502, resp.StatusCode)
			assert.Less(t, len(resp.Header.Get("Warning")), 2000)
			assert.Less(t, len(statusOf(t, resp).Message), 2000)
		})
	}
}

func TestMissingCredentialIsSaidUntilItArrives(t *testing.T) {
	up := newUpstream(t, ok)
	src := newSource(&credential.Snapshot{Problem: errors.New("no token yet: the Secret is missing")})
	r := start(t, up.address(t, ""), src)
	_, resp := r.connect(t, r.address.Authority(), r.authorization())
	assert.Equal(t, "503 connector team-a/cluster: no token yet: the Secret is missing", resp.Status)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	src.set(up.snapshot())
	assert.Equal(t, 200, r.get(t, "/api").StatusCode)

	// Through a tunnel that is open already it is a Status.
	conn := r.open(t)
	src.set(&credential.Snapshot{Problem: errors.New("gone")})
	_, err := io.WriteString(conn, r.line("GET", "/api")+"\r\n")
	require.NoError(t, err)
	resp, err = http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	s := statusOf(t, resp)
	assert.Equal(t, metav1.StatusReasonServiceUnavailable, s.Reason)
	assert.Equal(t, "connector team-a/cluster: gone", s.Message)
}

// client-go shows of an answer to its discovery only the code, but the reason
// phrase of a refused CONNECT: so the second try says why the first one failed.
func TestOutageIsSaidToTheNextTunnel(t *testing.T) {
	up := newUpstream(t, ok)
	_, otherCA := testkit.Certificate(t, "other", time.Now().Add(time.Hour))
	src := newSource(&credential.Snapshot{CA: otherCA, Token: realToken})
	r := start(t, up.address(t, ""), src)
	resp := r.get(t, "/api")
	assert.Equal(t, 502, resp.StatusCode)
	assert.True(t, resp.Close, "the client's next try must be a CONNECT")
	reason := statusOf(t, resp).Message
	_, refused := r.connect(t, r.address.Authority(), r.authorization())
	assert.Equal(t, "502 "+reason, refused.Status)

	// What was wrong is mended: no need to wait.
	src.set(up.snapshot())
	assert.Equal(t, 200, r.get(t, "/api").StatusCode)
}

// A server that comes back is found again without a change of the credential.
func TestOutageEnds(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			place := up.Listener.Addr().String()
			snapshot := up.snapshot()
			r := start(t, up.address(t, ""), newSource(snapshot))
			certificates := up.TLS.Certificates
			up.Close()
			assert.Equal(t, 502, r.get(t, "/api").StatusCode)

			listener, err := net.Listen("tcp", place)
			require.NoError(t, err)
			again := httptest.NewUnstartedServer(http.HandlerFunc(ok))
			require.NoError(t, again.Listener.Close())
			again.Listener = listener
			again.TLS = &tls.Config{Certificates: certificates}
			again.StartTLS()
			defer again.Close()
			client := r.client(t)
			require.Eventually(t, func() bool {
				resp, err := client.Get(r.url("/api"))
				return err == nil && assert.NoError(t, resp.Body.Close()) && resp.StatusCode == http.StatusOK
			}, patience, 50*time.Millisecond)
		})
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			src := newSource(up.snapshot())
			r := start(t, up.address(t, ""), src)
			conn := r.open(t)
			src.mu.Lock()
			src.panics = true
			src.mu.Unlock()
			io.WriteString(conn, r.line("GET", "/api")+"\r\n")
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.Error(t, err)
			assert.Contains(t, r.log.String(), "panic serving")
			assert.Equal(t, 200, r.get(t, "/api").StatusCode)
		})
	}
}

func TestDrainLetsRequestsFinish(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			arrived, finish := make(chan struct{}), make(chan struct{})
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				close(arrived)
				<-finish
				io.WriteString(w, "finished")
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			answer := make(chan string)
			conn := r.open(t)
			go func() {
				io.WriteString(conn, r.line("GET", "/slow")+"\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if !assert.NoError(t, err) {
					close(answer)
					return
				}
				content, err := io.ReadAll(resp.Body)
				assert.NoError(t, err)
				answer <- string(content)
			}()
			<-arrived
			r.stop()
			require.Eventually(t, func() bool {
				for _, address := range []string{r.proxy, r.localhost} {
					if conn, err := net.Dial("tcp", address); err == nil {
						conn.Close()
						return false
					}
				}
				return true
			}, patience, time.Millisecond, "still accepting")
			close(finish)
			assert.Equal(t, "finished", <-answer)
			require.NoError(t, <-r.stopped)
			close(r.stopped)
			assert.Contains(t, r.log.String(), `"complete":true`)
		})
	}
}

func TestDrainLetsStreamsFinish(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			finish := make(chan struct{})
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if !assert.NoError(t, err) {
					return
				}
				defer conn.Close()
				io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
				rw.Flush()
				<-finish
				io.WriteString(conn, "finished")
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			conn := r.open(t)
			io.WriteString(conn, r.line("GET", "/exec")+"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			r.stop()
			select {
			case <-r.stopped:
				t.Fatal("the stream was not waited for")
			case <-time.After(200 * time.Millisecond):
			}
			close(finish)
			answer, _ := io.ReadAll(br)
			assert.Equal(t, "finished", string(answer))
			conn.Close()
			select {
			case err := <-r.stopped:
				require.NoError(t, err)
				close(r.stopped)
			case <-time.After(patience):
				t.Fatal("the drain does not end")
			}
			assert.Contains(t, r.log.String(), `"complete":true`)
		})
	}
}

func TestDrainIsBounded(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") == "" {
					http.NewResponseController(w).Flush()
					<-r.Context().Done()
					return
				}
				conn, rw, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					defer conn.Close()
					io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
					rw.Flush()
					if r.URL.Path == "/half" {
						return // a client that does not close its half keeps the stream
					}
					io.Copy(io.Discard, rw)
				}
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			require.Equal(t, 200, r.get(t, "/watch").StatusCode)
			require.Equal(t, 101, r.get(t, "/exec", "Connection: Upgrade", "Upgrade: SPDY/3.1").StatusCode)
			require.Equal(t, 101, r.get(t, "/half", "Connection: Upgrade", "Upgrade: SPDY/3.1").StatusCode)
			begin := time.Now()
			r.stop()
			select {
			case err := <-r.stopped:
				require.NoError(t, err)
				close(r.stopped)
			case <-time.After(patience):
				t.Fatal("the drain has no bound")
			}
			assert.GreaterOrEqual(t, time.Since(begin), 2*time.Second, "streams get the time there is")
			assert.Contains(t, r.log.String(), `"complete":false`)
		})
	}
}

// failing is a listener that has no more files, once.
type failing struct {
	net.Listener
	failed atomic.Bool
}

func (l *failing) Accept() (net.Conn, error) {
	if !l.failed.Swap(true) {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptFailsForAMoment(t *testing.T) {
	for _, mode := range []kubeconfig.Mode{kubeconfig.ModeProxy, kubeconfig.ModeLocalhost, modeInCluster} {
		t.Run(string(mode), func(t *testing.T) {
			up := newUpstream(t, ok)
			connectors := []ambassador.Connector{{Reference: cluster, Address: up.address(t, ""), Credential: newSource(up.snapshot())}}
			r := startOn(t, mode, connectors, &failing{Listener: listen(t)}, &failing{Listener: listen(t)})
			assert.Equal(t, 200, r.get(t, "/api").StatusCode)
		})
	}
}

// A server that sends the token back is quoted nowhere, not even in part.
func TestTokenIsNotQuotedInPart(t *testing.T) {
	token := "secret." + strings.Repeat("0123456789abcdef", 8)
	for name, answer := range map[string]string{
		"protocol":    "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n",
		"status line": "HTTP/1.1 %s\r\n\r\n",
		"no HTTP":     "%s\r\n\r\n",
		"header":      "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"code":        "HTTP/1.1 099 %s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					defer conn.Close()
					fmt.Fprintf(conn, answer, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				}
			})
			r := start(t, up.address(t, ""), newSource(&credential.Snapshot{CA: up.ca, Token: credential.Token(token)}))
			resp := r.get(t, "/api")
			assert.Equal(t, 502, resp.StatusCode)
			assert.NotContains(t, body(t, resp), "0123456789")
			assert.NotContains(t, r.log.String(), "0123456789")
		})
	}
}

func TestRequestLog(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, ok)
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			resp := r.get(t, "/api/v1/pods?fieldSelector=secret-of-the-query")
			assert.Equal(t, "ok", body(t, resp))
			var line map[string]any
			require.Eventually(t, func() bool {
				for text := range strings.Lines(r.log.String()) {
					line = nil
					if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == "request" {
						return true
					}
				}
				return false
			}, patience, time.Millisecond)
			assert.Equal(t, "GET", line["method"])
			assert.Equal(t, r.path("/api/v1/pods"), line["path"])
			assert.EqualValues(t, 200, line["status"])
			assert.EqualValues(t, 2, line["bytes"])
			assert.Equal(t, "team-a/cluster", line["connector"])
			assert.NotContains(t, r.log.String(), "secret-of-the-query")
		})
	}
}

func TestAbandonedRequestIsCancelled(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			arrived, cancelled := make(chan struct{}), make(chan struct{})
			up := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
				close(cancelled)
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			ctx, cancel := context.WithCancel(context.Background())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("/slow"), nil)
			require.NoError(t, err)
			done := make(chan struct{})
			client := r.client(t)
			go func() {
				defer close(done)
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
			}()
			<-arrived
			cancel()
			<-done
			select {
			case <-cancelled:
			case <-time.After(time.Second):
				t.Fatal("the request goes on at the API server")
			}
		})
	}
}
