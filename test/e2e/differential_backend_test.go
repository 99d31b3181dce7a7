package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// backend is a Pod of the target, and a Service before it, for what an API server
// itself never answers. There is no node in the target: the Pod is this process.
type backend struct {
	pod, service string // paths of their proxy subresources
}

func newBackend(t *testing.T, namespace string, handler http.Handler) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(clusters.MachineIP(), "0"))
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections() // those that were upgraded go on otherwise
		server.Close()
	})
	port := listener.Addr().(*net.TCPAddr).Port

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "backend", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}},
	}
	create(t, target, pod)
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: clusters.MachineIP(), PodIPs: []corev1.PodIP{{IP: clusters.MachineIP()}},
	}
	require.NoError(t, target.Status().Update(t.Context(), pod))
	create(t, target, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "backend", Namespace: namespace},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	create(t, target, &corev1.Endpoints{ //nolint:staticcheck // this is where the API server looks
		ObjectMeta: metav1.ObjectMeta{Name: "backend", Namespace: namespace},
		Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // see above
			Ports: []corev1.EndpointPort{{Name: "http", Port: int32(port)}},
			Addresses: []corev1.EndpointAddress{{
				IP: clusters.MachineIP(), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod.Name, UID: pod.UID},
			}},
		}},
	})
	return &backend{
		pod:     fmt.Sprintf("/api/v1/namespaces/%s/pods/backend:%d/proxy", namespace, port),
		service: fmt.Sprintf("/api/v1/namespaces/%s/services/backend:http/proxy", namespace),
	}
}

// backendHandler does what HTTP can and the Kubernetes API does not.
func backendHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo/", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		length, err := io.Copy(hash, r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "uri": r.RequestURI, "header": r.Header, "announced": r.ContentLength,
			"length": length, "hash": hash.Sum(nil), "error": err,
		})
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</script.js>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		fmt.Fprint(w, "hints came before")
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Checksum")
		fmt.Fprint(w, "trailers come after")
		w.Header().Set("Checksum", "announced")
		w.Header().Set(http.TrailerPrefix+"Unannounced", "as gRPC does")
	})
	mux.HandleFunc("/status/204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/status/304", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
	})
	mux.HandleFunc("/status/401", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Www-Authenticate", `Basic realm="backend"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/status/599", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1; Path=/", "b=2"}
		w.Header().Set("X-Empty", "")
		w.Header().Set("X-Long", strings.Repeat("long ", 10_000))
		w.Header().Set("Content-Encoding", "nonsense")
		w.Header()["Content-Type"] = nil // nor shall anybody guess one
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "<html>")
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to")) // as it is: http.Redirect would complete it
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		fmt.Fprint(w, strings.Repeat("this is not all", 20_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/aborted", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "this is not all")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/until-close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/plain") // or the API server may guess one, or not
		w.Header().Set("Transfer-Encoding", "identity")
		fmt.Fprint(w, "all there is until the connection ends")
	})
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-More: more\r\n\r\nwelcome\n", r.Header.Get("Upgrade"))
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "you said %s", line)
		}
	})
	return mux
}

// TestDifferentialProxy: what Pods and Services answer through the API server's
// proxy subresources comes through the sidecar as it comes directly. These
// backends can do all of HTTP.
func TestDifferentialProxy(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	there := newBackend(t, namespace, backendHandler())
	tours := toursIn(ways, namespace)
	for what, at := range map[string]string{"pod": there.pod, "service": there.service} {
		t.Run(what, func(t *testing.T) { compare(t, tours, backendRequests(at)) })
	}
	t.Run("upgrade", func(t *testing.T) {
		var want []string
		for _, w := range ways {
			got := upgrade(t, w, there.pod+"/upgrade")
			if want == nil {
				want = got
			}
			assert.Equal(t, want, got, w.name)
		}
	})
}

func backendRequests(at string) []request {
	const ok = http.StatusOK
	large := strings.Repeat("0123456789abcdef", 1<<18)
	binary := sends("application/octet-stream")
	return []request{
		{name: "get", path: at + "/echo/", status: ok},
		{name: "headers of the request", path: at + "/echo/", header: map[string]string{
			"Accept-Encoding": "br, gzip;q=0.5", "Accept-Language": "de", "Range": "bytes=1-2", "If-Match": `"x"`,
			"X-Custom": "one, two", "Referer": "https://example.com/a", "Te": "trailers", "Priority": "u=1",
			"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Cache-Control": "no-cache", "Via": "1.1 somebody",
		}, status: ok},
		{name: "no user agent", path: at + "/echo/", header: map[string]string{"User-Agent": ""}, status: ok},
		{name: "path", path: at + "/echo/a%20b/%C3%BC/%3F/%25/;p=1/'()*!$&+,=:@/~/", status: ok},
		{name: "encoded slash", path: at + "/echo/a%2Fb", status: ok},
		{name: "double slash", path: at + "/echo/a//b", status: ok},
		{name: "query", path: at + "/echo/?b=%2B+%20&a=2&a=1&=&c&\"<>", status: ok},
		{name: "query that is no form", path: at + "/echo/?a=1;b=2&%zz", status: ok},
		{name: "empty query", path: at + "/echo/?", status: ok},
		{name: "post", method: http.MethodPost, path: at + "/echo/", header: binary, body: large, status: ok},
		{name: "post, length unknown", method: http.MethodPost, path: at + "/echo/", header: binary, body: large, chunked: true, status: ok},
		{name: "post, 100-continue", method: http.MethodPost, path: at + "/echo/", header: map[string]string{"Expect": "100-continue"}, body: "then", status: ok},
		{name: "post, nothing", method: http.MethodPost, path: at + "/echo/", status: ok},
		{name: "put", method: http.MethodPut, path: at + "/echo/", header: binary, body: "put", status: ok},
		{name: "patch", method: http.MethodPatch, path: at + "/echo/", header: binary, body: "patch", status: ok},
		{name: "delete", method: http.MethodDelete, path: at + "/echo/", body: "delete", status: ok},
		{name: "head", method: http.MethodHead, path: at + "/echo/", status: ok},
		{name: "options", method: http.MethodOptions, path: at + "/echo/", status: ok},
		{name: "103 Early Hints", path: at + "/hints", status: ok},
		{name: "trailers", path: at + "/trailer", status: ok},
		{name: "204", path: at + "/status/204", status: http.StatusNoContent},
		{name: "304", path: at + "/status/304", status: http.StatusNotModified},
		{name: "401", path: at + "/status/401", status: http.StatusUnauthorized},
		{name: "599", path: at + "/status/599", status: 599},
		{name: "headers of the response", path: at + "/headers", status: http.StatusTeapot},
		{name: "redirect", path: at + "/redirect?to=/echo/", status: http.StatusFound},
		{name: "redirect, relative", path: at + "/redirect?to=echo/", status: http.StatusFound},
		{name: "body too short", path: at + "/short", status: ok},
		{name: "body aborted", path: at + "/aborted", status: ok},
		{name: "body that ends with the connection", path: at + "/until-close", status: ok},
		{name: "nobody there", path: strings.Replace(at, "/proxy", "9/proxy", 1) + "/", status: http.StatusServiceUnavailable},
	}
}

// upgrade switches protocols and has a short talk. It returns what it was told.
func upgrade(t *testing.T, w *way, path string) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.config.Host+path, nil)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Authorization": "Bearer " + w.config.BearerToken, "Connection": "Upgrade", "Upgrade": "websocket", "Audit-Id": "e2e",
	} {
		req.Header.Set(name, value)
	}
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode, w.name)
	told := []string{resp.Header.Get("Upgrade"), resp.Header.Get("X-More")}
	conn := resp.Body.(io.ReadWriteCloser)
	lines := bufio.NewReader(conn)
	for _, say := range []string{"", "hello\n", "more\n"} {
		_, err = io.WriteString(conn, say)
		require.NoError(t, err)
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		told = append(told, line)
	}
	return told
}
