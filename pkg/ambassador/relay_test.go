package ambassador_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
)

// clientset is a typed client made from the kubeconfig, as an app would.
func (r *running) clientset(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	file, err := kubeconfig.Config{
		Entries:          []kubeconfig.Entry{{Connector: cluster, Address: r.address}},
		Mode:             r.mode,
		ProxyAddress:     r.proxy,
		LocalhostAddress: r.localhost,
		Token:            r.identity.Token(),
		CA:               r.identity.CA(),
	}.Marshal()
	require.NoError(t, err)
	assert.NotContains(t, string(file), realToken)
	config, err := clientcmd.RESTConfigFromKubeConfig(file)
	require.NoError(t, err)
	if r.mode == modeInCluster {
		config = &rest.Config{Host: "https://" + r.localhost, BearerToken: r.identity.Token(), TLSClientConfig: rest.TLSClientConfig{CAData: r.identity.CA()}}
	}
	httpClient, err := restHTTPClient(config)
	require.NoError(t, err)
	t.Cleanup(httpClient.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	require.NoError(t, err)
	return client
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestClientGoListsAndWatches(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			send, abandoned := make(chan *corev1.Pod), make(chan struct{})
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("watch") == "" {
					writeJSON(w, corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{*pod("one")}})
					return
				}
				w.Header().Set("Content-Type", "application/json")
				http.NewResponseController(w).Flush()
				for {
					select {
					case p := <-send:
						writeJSON(w, map[string]any{"type": "ADDED", "object": p})
						http.NewResponseController(w).Flush()
					case <-r.Context().Done():
						close(abandoned)
						return
					}
				}
			})
			r := start(t, up.address(t, "/kubernetes/global"), newSource(up.snapshot()))
			client := r.clientset(t)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()

			list, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
			require.NoError(t, err)
			require.Len(t, list.Items, 1)
			assert.Equal(t, "one", list.Items[0].Name)
			assert.Equal(t, "Bearer "+realToken, up.requests()[0].Header.Get("Authorization"))
			assert.Equal(t, "/kubernetes/global/api/v1/namespaces/default/pods", up.requests()[0].URL.Path)

			// Watch returns as soon as the headers are there: no event was sent yet.
			w, err := client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
			require.NoError(t, err)
			for _, name := range []string{"two", "three"} {
				send <- pod(name)
				select {
				case event := <-w.ResultChan():
					assert.Equal(t, watch.Added, event.Type)
					assert.Equal(t, name, event.Object.(*corev1.Pod).Name)
				case <-ctx.Done():
					t.Fatal("the event does not arrive")
				}
			}
			w.Stop()
			select {
			case <-abandoned:
			case <-time.After(time.Second):
				t.Fatal("an abandoned watch goes on at the API server")
			}
		})
	}
}

func TestUpgradePassesBothWaysWithHalfClose(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			for _, protocol := range []string{"SPDY/3.1", "websocket"} {
				t.Run(protocol, func(t *testing.T) {
					up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
						conn, rw, err := http.NewResponseController(w).Hijack()
						if !assert.NoError(t, err) {
							return
						}
						defer conn.Close()
						fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
						rw.Flush()
						got, _ := io.ReadAll(rw) // up to the half-close of the client
						fmt.Fprintf(conn, "got %s", got)
						conn.(*tls.Conn).CloseWrite()
					})
					r := start(t, up.address(t, ""), newSource(up.snapshot()))
					conn := r.open(t)
					// The first bytes of the new protocol come without waiting for the 101.
					io.WriteString(conn, r.line("POST", "/exec")+"Connection: Upgrade\r\nUpgrade: "+protocol+"\r\n\r\nearly,")
					br := bufio.NewReader(conn)
					resp, err := http.ReadResponse(br, nil)
					require.NoError(t, err)
					defer resp.Body.Close()
					require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
					assert.Equal(t, protocol, resp.Header.Get("Upgrade"))
					_, err = io.WriteString(conn, "late")
					require.NoError(t, err)
					require.NoError(t, conn.CloseWrite())
					answer, err := io.ReadAll(br)
					require.NoError(t, err)
					assert.Equal(t, "got early,late", string(answer))
					assert.Equal(t, "Bearer "+realToken, up.requests()[0].Header.Get("Authorization"))
				})
			}
		})
	}
}

// The server may end its side first: the client can still send.
func TestUpgradeHalfClosedByTheServer(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			got := make(chan string, 1)
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if !assert.NoError(t, err) {
					return
				}
				defer conn.Close()
				io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nbye")
				rw.Flush()
				conn.(*tls.Conn).CloseWrite()
				rest, _ := io.ReadAll(rw)
				got <- string(rest)
			})
			for _, early := range []string{"", "early,"} {
				t.Run(early, func(t *testing.T) {
					r := start(t, up.address(t, ""), newSource(up.snapshot()))
					conn := r.open(t)
					io.WriteString(conn, r.line("POST", "/exec")+"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"+early)
					br := bufio.NewReader(conn)
					resp, err := http.ReadResponse(br, nil)
					require.NoError(t, err)
					defer resp.Body.Close()
					answer, err := io.ReadAll(br)
					require.NoError(t, err)
					assert.Equal(t, "bye", string(answer))
					_, err = io.WriteString(conn, "late")
					require.NoError(t, err)
					require.NoError(t, conn.CloseWrite())
					select {
					case rest := <-got:
						assert.Equal(t, early+"late", rest)
					case <-time.After(patience):
						t.Fatal("the server hears nothing")
					}
				})
			}
		})
	}
}

func TestBodiesTrailersAndContinue(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Set("Set-Cookie", "a=b")
				n, err := io.Copy(w, r.Body) // sends the 100
				assert.NoError(t, err)
				w.Header().Set("X-Sum", fmt.Sprint(n))
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			content := strings.Repeat("x", 1<<20)
			for name, reader := range map[string]io.Reader{"length": strings.NewReader(content), "chunked": io.MultiReader(strings.NewReader(content))} {
				t.Run(name, func(t *testing.T) {
					req, err := http.NewRequest(http.MethodPut, r.url("/x"), reader)
					require.NoError(t, err)
					req.Header.Set("Expect", "100-continue")
					resp, err := r.client(t).Do(req)
					require.NoError(t, err)
					defer resp.Body.Close()
					assert.Equal(t, content, body(t, resp))
					assert.Equal(t, "1048576", resp.Trailer.Get("X-Sum"))
					assert.Equal(t, "a=b", resp.Header.Get("Set-Cookie"))
				})
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
	})
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	assert.Equal(t, 307, r.get(t, "/api").StatusCode)
	assert.Len(t, up.requests(), 1)
}

func TestRotation(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			first, second := newUpstream(t, ok), newUpstream(t, ok)
			src := newSource(first.snapshot())
			r := start(t, first.address(t, ""), src)
			get := func() {
				t.Helper()
				resp, err := r.client(t).Get(r.url("/api"))
				require.NoError(t, err)
				defer resp.Body.Close()
				assert.Equal(t, "ok", body(t, resp))
			}
			get()
			src.set(&credential.Snapshot{CA: first.ca, Token: "second"})
			get()
			src.set(&credential.Snapshot{CA: second.ca, Token: "third", Address: second.address(t, "")})
			get()

			require.Len(t, first.requests(), 2)
			assert.Equal(t, "Bearer "+realToken, first.requests()[0].Header.Get("Authorization"))
			assert.Equal(t, "Bearer second", first.requests()[1].Header.Get("Authorization"))
			assert.Equal(t, first.requests()[0].RemoteAddr, first.requests()[1].RemoteAddr, "a new token costs no connection")
			require.Len(t, second.requests(), 1)
			assert.Equal(t, "Bearer third", second.requests()[0].Header.Get("Authorization"))
		})
	}
}

// While token, CA and address change all the time, and each stays valid, no request
// fails, and none comes with the token of another server.
func TestRotationUnderLoad(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			var mixed atomic.Int32
			serve := func(token string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+token) {
						mixed.Add(1)
					}
					content, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					_, _ = w.Write(content)
				}
			}
			one, two := newUpstream(t, serve("one")), newUpstream(t, serve("two"))
			snapshots := []*credential.Snapshot{
				{CA: one.ca, Token: "one.first", Address: one.address(t, "")},
				{CA: one.ca, Token: "one.second", Address: one.address(t, "")},
				{CA: one.ca + two.ca, Token: "one.second", Address: one.address(t, "")},
				{CA: one.ca + two.ca, Token: "two", Address: two.address(t, "/below")},
			}
			src := newSource(snapshots[0])
			r := start(t, one.address(t, ""), src)
			var clients sync.WaitGroup
			for range 8 {
				client := r.client(t)
				clients.Go(func() {
					for n := range 50 {
						sent := n * 100
						resp, err := client.Post(r.url("/api"), "text/plain", strings.NewReader(strings.Repeat("x", sent)))
						if err != nil {
							t.Error(err)
							return
						}
						got, err := io.ReadAll(resp.Body)
						if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || len(got) != sent {
							t.Errorf("%s, %d of %d bytes, %v", resp.Status, len(got), sent, err)
						}
					}
				})
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				clients.Wait()
			}()
			for n := 1; ; n++ {
				select {
				case <-done:
					assert.Zero(t, mixed.Load(), "a token went to another server")
					return
				case <-time.After(time.Millisecond):
					src.set(snapshots[n%len(snapshots)])
				}
			}
		})
	}
}

// A watch that runs outlives a new token, a new CA and a new address.
func TestRotationDropsNoStream(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			event := make(chan string)
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).Flush()
				for e := range event {
					io.WriteString(w, e)
					http.NewResponseController(w).Flush()
				}
			})
			src := newSource(up.snapshot())
			r := start(t, up.address(t, ""), src)
			resp := r.get(t, "/watch")
			br := bufio.NewReader(resp.Body)
			other := newUpstream(t, ok)
			for i, next := range []*credential.Snapshot{
				{CA: up.ca, Token: "second"},
				{CA: other.ca, Token: "second"},
				{CA: other.ca, Token: "second", Address: other.address(t, "")},
				{Problem: assert.AnError},
			} {
				src.set(next)
				event <- fmt.Sprintf("event %d\n", i)
				line, err := br.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("event %d\n", i), line)
			}
			close(event)
		})
	}
}

func TestUnauthorizedIsTriedAgainOnce(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			const fresh = "fresh-token"
			newServer := func(t *testing.T, src **source) *upstream {
				t.Helper()
				up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "Bearer "+fresh {
						w.WriteHeader(http.StatusUnauthorized)
					}
				})
				*src = newSource(up.snapshot())
				return up
			}
			renewed := func(up *upstream, src *source) func() {
				return func() { src.set(&credential.Snapshot{CA: up.ca, Token: fresh}) }
			}
			for name, tc := range map[string]struct {
				method string
				rest   string // of the request
				reload func(*upstream, *source) func()
				code   int
				tries  int
			}{
				"get":             {"GET", "\r\n", renewed, 200, 2},
				"head":            {"HEAD", "\r\n", renewed, 200, 2},
				"post":            {"POST", "Content-Length: 2\r\n\r\n{}", renewed, 401, 1},
				"empty post":      {"POST", "Content-Length: 0\r\n\r\n", renewed, 401, 1},
				"get with a body": {"GET", "Content-Length: 2\r\n\r\n{}", renewed, 401, 1},
				"no news":         {"GET", "\r\n", func(*upstream, *source) func() { return nil }, 401, 1},
				"still bad": {"GET", "\r\n", func(up *upstream, src *source) func() {
					return func() { src.set(&credential.Snapshot{CA: up.ca, Token: "bad-too"}) }
				}, 401, 2},
				"another address": {"GET", "\r\n", func(up *upstream, src *source) func() {
					return func() {
						src.set(&credential.Snapshot{CA: up.ca, Token: fresh, Address: address(t, "https://127.0.0.1:1")})
					}
				}, 401, 1},
				"taken away": {"GET", "\r\n", func(_ *upstream, src *source) func() {
					return func() { src.set(&credential.Snapshot{Problem: assert.AnError}) }
				}, 401, 1},
			} {
				t.Run(name, func(t *testing.T) {
					var src *source
					up := newServer(t, &src)
					src.reload = tc.reload(up, src)
					r := start(t, up.address(t, ""), src)
					assert.Equal(t, tc.code, r.raw(t, r.line(tc.method, "/api")+tc.rest).StatusCode)
					assert.Len(t, up.requests(), tc.tries)
				})
			}
		})
	}
}
