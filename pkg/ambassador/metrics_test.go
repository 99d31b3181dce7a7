package ambassador_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
	"github.com/kube-connector/kube-connector/pkg/kubeconfig"
	"github.com/kube-connector/kube-connector/pkg/relay"
)

const prefix = "kube_connector_sidecar_"

// scrape is what Prometheus gets: values by name and labels.
func (r *running) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	conn, err := net.Dial("tcp", r.metrics)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "text/plain; version=0.0.4; charset=utf-8", resp.Header.Get("Content-Type"))
	text := body(t, resp)
	assert.NotContains(t, text, r.identity.Token())
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err, text)
	assert.Empty(t, problems)
	values := make(map[string]float64)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		require.NoError(t, err, line)
		require.NotContains(t, values, line[:i])
		values[line[:i]] = value
	}
	return values
}

// counted waits until what is there of one metric is want: a client may have its
// answer before that is counted.
func (r *running) counted(t *testing.T, name string, want map[string]float64) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		got := make(map[string]float64)
		for series, value := range r.scrape(t) {
			if labels, found := strings.CutPrefix(series, prefix+name); found && (labels == "" || labels[0] == '{') {
				got[labels] = value
			}
		}
		assert.Equal(c, want, got)
	}, patience, 10*time.Millisecond)
}

// Whatever a client or a server sends, labels are from a closed set.
func TestRequestsAreCounted(t *testing.T) {
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if code, err := strconv.Atoi(r.URL.Query().Get("code")); err == nil {
					w.WriteHeader(code)
				}
				if r.URL.Path == "/abort" {
					panic(http.ErrAbortHandler)
				}
				if r.Header.Get("Upgrade") == "" {
					io.WriteString(w, "ok")
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n123")
					conn.Close()
				}
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			want := make(map[string]float64)
			for _, tc := range []struct{ method, path, more, verb, code string }{
				{"GET", "/api", "", "GET", "200"},
				{"GET", "/api", "", "GET", "200"},
				{"HEAD", "/api", "Connection: close\r\n", "HEAD", "200"},
				{"GET", "/api?watch=true", "", "watch", "200"},
				{"GET", "/api?x=y&watch=1&watch=0", "", "watch", "200"},
				{"GET", "/api?watch", "", "watch", "200"},
				{"GET", "/api?watch=0", "", "GET", "200"},
				{"GET", "/api?watch=False&watch=1", "", "GET", "200"},
				{"GET", "/api?unwatch=1&a=watch=1", "", "GET", "200"},
				{"DELETE", "/api?watch=1", "", "DELETE", "200"},
				{"GET", "/api?watch=1&code=410", "", "watch", "410"},
				{"POST", "/api?code=201", "Content-Length: 0\r\n", "POST", "201"},
				{"GET", "/api?code=599", "", "GET", "599"},
				{"GET", "/api?code=600", "", "GET", "other"},
				{"GET", "/api?code=999", "", "GET", "other"},
				{"POST", "/abort", "Content-Length: 0\r\n", "POST", "502"},
				{"get", "/api", "", "other", "405"},
				{"watch", "/api?watch=1", "", "other", "405"},
				{"GET", "/a/../b", "", "GET", "400"},
				{"GET", `/%22%7D%0a`, "", "GET", "400"},
				{"GET", "/api", "Impersonate-User: x\"}\r\n", "GET", "403"},
			} {
				resp := r.raw(t, r.line(tc.method, tc.path)+tc.more+"\r\n")
				body(t, resp)
				want[fmt.Sprintf(`{connector="team-a/cluster",verb=%q,code=%q}`, tc.verb, tc.code)]++
			}
			assert.Equal(t, http.StatusBadRequest, r.raw(t, "BREW\"} /api HTTP/1.1\r\nHost: x\r\n\r\n").StatusCode)
			want[`{connector="",verb="other",code="400"}`]++
			conn := r.open(t)
			io.WriteString(conn, r.line("GET", "/exec")+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
			upgraded, err := io.ReadAll(br)
			require.NoError(t, err)
			assert.Equal(t, "123", string(upgraded))
			conn.Close()
			want[`{connector="team-a/cluster",verb="GET",code="101"}`]++
			r.counted(t, "requests_total", want)

			// All but watches, upgrades, and what was no request.
			total := 0.0
			for labels, n := range want {
				if strings.Contains(labels, "team-a") && !strings.Contains(labels, "watch") && !strings.Contains(labels, "101") {
					total += n
				}
			}
			r.counted(t, "request_duration_seconds_count", map[string]float64{`{connector="team-a/cluster"}`: total})
			values := r.scrape(t)
			buckets := prefix + `request_duration_seconds_bucket{connector="team-a/cluster",le="%s"}`
			assert.Contains(t, values, fmt.Sprintf(buckets, "0.0005"))
			assert.InDelta(t, total, values[fmt.Sprintf(buckets, "+Inf")], 0)
			assert.InDelta(t, total, values[fmt.Sprintf(buckets, "60")], 0, "none took a minute")
			assert.Positive(t, values[prefix+`request_duration_seconds_sum{connector="team-a/cluster"}`])
		})
	}
}

func TestLocalhostRefusalsAreCountedForNoConnector(t *testing.T) {
	up := newUpstream(t, ok)
	r := startLocal(t, up.address(t, ""), newSource(up.snapshot()))
	line := r.line("GET", "/api")
	for _, request := range []string{
		strings.Replace(line, r.identity.Token(), similar(r.identity.Token()), 1),
		strings.Replace(line, "Host: ", "Host: evil-", 1),
		strings.Replace(line, "team-a", "team-b", 1),
		line + "Origin: https://evil.example\r\n",
	} {
		r.raw(t, request+"\r\n")
	}
	r.counted(t, "requests_total", map[string]float64{
		`{connector="",verb="GET",code="401"}`: 1,
		`{connector="",verb="GET",code="403"}`: 1,
		`{connector="",verb="GET",code="404"}`: 1,
		`{connector="",verb="GET",code="421"}`: 1,
	})
}

func TestRefusedConnectsAreCounted(t *testing.T) {
	up := newUpstream(t, ok)
	src := newSource(up.snapshot())
	r := start(t, up.address(t, ""), src)
	r.connect(t, r.host(), basic(cluster.String(), similar(r.identity.Token())))
	r.connect(t, r.host(), basic("team-b/evil", r.identity.Token()))
	r.connect(t, "evil.example:443", r.authorization())
	r.connect(t, r.host(), r.authorization()+"\r\nContent-Length: 1")
	r.connect(t, r.host(), r.authorization())
	src.set(&credential.Snapshot{Problem: assert.AnError})
	r.connect(t, r.host(), r.authorization())
	src.set(&credential.Snapshot{Token: realToken, CA: up.ca, Address: address(t, "https://127.0.0.1:1")})
	assert.Equal(t, http.StatusBadGateway, r.get(t, "/api").StatusCode)
	r.connect(t, r.host(), r.authorization())
	r.counted(t, "connects_refused_total", map[string]float64{
		`{reason="unauthenticated"}`: 2, `{reason="forbidden"}`: 1, `{reason="bad_request"}`: 1,
		`{reason="no_token"}`: 1, `{reason="unreachable"}`: 1,
	})
}

func TestWhatIsOpenIsCounted(t *testing.T) {
	one := func(n float64) map[string]float64 { return map[string]float64{`{connector="team-a/cluster"}`: n} }
	for mode, start := range modes {
		t.Run(mode, func(t *testing.T) {
			release := make(chan struct{})
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				<-release
				io.WriteString(w, "four")
			})
			r := start(t, up.address(t, ""), newSource(up.snapshot()))
			r.counted(t, "requests_in_flight", one(0))
			conn := r.open(t)
			io.WriteString(conn, r.line("GET", "/api")+"\r\n")
			r.counted(t, "requests_in_flight", one(1))
			r.counted(t, "client_connections", map[string]float64{"": 1})
			close(release)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			body(t, resp)
			r.counted(t, "requests_in_flight", one(0))
			r.counted(t, "upstream_connections", one(1))
			r.counted(t, "upstream_handshakes_total", one(1))
			r.counted(t, "response_bytes_total", map[string]float64{`{connector="team-a/cluster"}`: 4, `{connector=""}`: 0})
			conn.Close()
			r.counted(t, "client_connections", map[string]float64{"": 0})
		})
	}
}

// A client that goes away has not been answered.
func TestAbandonedRequestIsCounted(t *testing.T) {
	up := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	conn := r.open(t)
	io.WriteString(conn, r.line("GET", "/api")+"\r\n")
	r.counted(t, "requests_in_flight", map[string]float64{`{connector="team-a/cluster"}`: 1})
	conn.Close()
	r.counted(t, "requests_total", map[string]float64{`{connector="team-a/cluster",verb="GET",code="none"}`: 1})
}

func TestTokenAgeAndRetries(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+realToken {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	src := newSource(up.snapshot())
	r := start(t, up.address(t, ""), src)
	const age = prefix + `token_age_seconds{connector="team-a/cluster"}`
	// More than a scrape takes, to tell the ages of two tokens apart.
	require.Eventually(t, func() bool { return r.scrape(t)[age] > 0.25 }, patience, 10*time.Millisecond)

	changed := time.Now()
	src.reload = func() { src.set(&credential.Snapshot{CA: up.ca, Token: "fresh"}) }
	assert.Equal(t, http.StatusOK, r.get(t, "/api").StatusCode)
	r.counted(t, "upstream_retries_total", map[string]float64{
		`{connector="team-a/cluster",reason="unauthorized"}`: 1, `{connector="team-a/cluster",reason="connection"}`: 0,
	})
	require.Eventually(t, func() bool { return r.scrape(t)[age] <= time.Since(changed).Seconds() }, patience, time.Millisecond, "the age is of the new token")

	src.set(&credential.Snapshot{Problem: assert.AnError})
	r.counted(t, "token_age_seconds", map[string]float64{})
}

func TestEveryConnectorIsCountedForItself(t *testing.T) {
	up := newUpstream(t, ok)
	other := connector.Reference{Namespace: "team-b", Name: "other"}
	r := startAll(t, kubeconfig.ModeLocalhost, []ambassador.Connector{
		{Reference: cluster, Address: up.address(t, ""), Credential: newSource(up.snapshot())},
		{Reference: other, Address: up.address(t, ""), Credential: newSource(up.snapshot())},
	})
	r.get(t, "/api")
	r.raw(t, strings.Replace(r.line("POST", "/api"), cluster.String(), other.String(), 1)+"Content-Length: 0\r\n\r\n")
	r.counted(t, "requests_total", map[string]float64{
		`{connector="team-a/cluster",verb="GET",code="200"}`: 1,
		`{connector="team-b/other",verb="POST",code="200"}`:  1,
	})
	for series, value := range r.scrape(t) {
		if strings.HasPrefix(series, "kube_connector_build_info{") {
			assert.Contains(t, series, `{program="sidecar",version="dev",go_version="go1.`)
			assert.InDelta(t, 1, value, 0)
			return
		}
	}
	t.Error("no build information")
}

func TestMetricsPortServesNothingElse(t *testing.T) {
	up := newUpstream(t, ok)
	r := start(t, up.address(t, ""), newSource(up.snapshot()))
	ask := func(request string) *http.Response {
		conn, err := net.Dial("tcp", r.metrics)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
		method, _, _ := strings.Cut(request, " ")
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		require.NoError(t, err)
		resp.Body.Close()
		return resp
	}
	for line, code := range map[string]int{
		"GET / HTTP/1.1":                                             404,
		"GET /metrics/ HTTP/1.1":                                     404,
		"GET //metrics HTTP/1.1":                                     404,
		"GET /debug/pprof/ HTTP/1.1":                                 404,
		"GET " + r.path("/api") + " HTTP/1.1":                        404,
		"GET https://" + r.host() + "/api HTTP/1.1":                  404,
		"POST /metrics HTTP/1.1\r\nContent-Length: 0":                405,
		"HEAD /metrics HTTP/1.1":                                     405,
		"OPTIONS * HTTP/1.1":                                         404,
		"CONNECT " + r.host() + " HTTP/1.1":                          404,
		"GET /metrics HTTP/1.1\r\nX: " + strings.Repeat("x", 10<<10): 431,
	} {
		assert.Equal(t, code, ask(line+"\r\nHost: x\r\nConnection: close\r\nProxy-Authorization: "+r.authorization()+"\r\n\r\n").StatusCode, line)
	}
	assert.Empty(t, up.requests())

	for range ambassador.MaxScrapers {
		conn, err := net.Dial("tcp", r.metrics)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = conn.Read(make([]byte, 1)) // accepted, and kept
		require.NoError(t, err)
	}
	conn, err := net.Dial("tcp", r.metrics)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	refused, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(refused), "too many connections")
}

var request = &http.Request{Method: http.MethodPatch, URL: &url.URL{RawQuery: "fieldManager=kubectl&fieldValidation=Strict"}}

func TestCountingAllocatesNothing(t *testing.T) {
	count := ambassador.NewCount()
	x := &relay.Exchange{Request: request}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { count(x) }))
}

// BenchmarkCount is what metrics add to a request.
func BenchmarkCount(b *testing.B) {
	count := ambassador.NewCount()
	x := &relay.Exchange{Request: request}
	b.ReportAllocs()
	for b.Loop() {
		count(x)
	}
}
