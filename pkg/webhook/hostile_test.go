package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http/httpguts"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

// victim is a server as NewManager makes it, for whoever attacks it. Ordinary
// reviews are injected.
type victim struct {
	address string
	roots   *x509.CertPool
	// busy is how many requests are in the handler, and most how many there were at
	// a time.
	busy, most atomic.Int64
}

func newVictim(tb testing.TB) *victim {
	tb.Helper()
	ca := testkit.NewAuthority(tb)
	chain, key := ca.Issue(tb, "localhost")
	certificate, err := tls.X509KeyPair(chain, key)
	require.NoError(tb, err)
	counts, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(tb, err)
	v := &victim{roots: x509.NewCertPool()}
	require.True(tb, v.roots.AppendCertsFromPEM(ca.PEM))
	injector := &Injector{
		Cache: reviews.Reader{}, Live: reviews.Reader{}, Injection: v1alpha1.InjectionEnabled, Metrics: counts,
		Options: inject.Options{Image: "sidecar:test"},
	}
	s := &server{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := v.busy.Add(1)
			defer v.busy.Add(-1)
			for most := v.most.Load(); n > most && !v.most.CompareAndSwap(most, n); most = v.most.Load() {
			}
			injector.ServeHTTP(w, r)
		}),
		getCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil },
	}
	v.address = listen(tb, s)
	return v
}

// listen runs a server until the test ends.
func listen(tb testing.TB, s *server) (address string) {
	tb.Helper()
	s.address = freeAddress(tb)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	tb.Cleanup(func() {
		cancel()
		assert.NoError(tb, <-ended)
	})
	require.Eventually(tb, func() bool { return s.started(nil) == nil }, 10*time.Second, 10*time.Millisecond)
	return s.address
}

// caller is a client with connections of its own, in HTTP/1.1.
func (v *victim) caller(tb testing.TB) *http.Client {
	tb.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: v.roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post sends a body. Whatever it is, there is an answer.
func (v *victim) post(tb testing.TB, client *http.Client, body io.Reader) (code int, answer string) {
	tb.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+v.address+InjectPath, body)
	require.NoError(tb, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	require.NoError(tb, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	return response.StatusCode, string(said)
}

// works checks that an ordinary Pod is injected.
func (v *victim) works(tb testing.TB, client *http.Client) {
	tb.Helper()
	code, answer := v.post(tb, client, bytes.NewReader(reviews.Ordinary))
	require.Equal(tb, http.StatusOK, code, answer)
	require.Contains(tb, answer, `"patch":`)
}

// of is a review of a Pod with the given metadata and spec, which asks for a
// Connector.
func of(metadata, spec string) string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","namespace":"team-a","object":{` +
		`"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{"connectors.alauda.io/connectors":"k8s-connector"` + metadata + `}},"spec":{` + spec + `}}}}`
}

// repeat is an element n times, with its number in place of #.
func repeat(n int, element string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(element, "#", fmt.Sprint(i)))
	}
	return b.String()
}

// bombs are Pods that are small on the wire and large in memory, or that mean work.
var bombs = map[string]struct {
	body string
	code int
	says string
}{
	"empty containers":         {of("", `"containers":[`+repeat(2_000_000, "{}")+`]`), http.StatusRequestEntityTooLarge, "the Pod is too large"},
	"containers that are null": {of("", `"containers":[`+repeat(1_400_000, "null")+`]`), http.StatusRequestEntityTooLarge, "the Pod is too large"},
	"few empty containers":     {of("", `"containers":[`+repeat(15_000, "{}")+`]`), http.StatusOK, "the Pod has 15000 containers; at most 1000 are allowed"},
	"10,000 containers":        {of("", `"containers":[`+repeat(10_000, `{"name":"c-#","image":"app"}`)+`]`), http.StatusOK, "the Pod has 10000 containers; at most 1000 are allowed"},
	"1,000 containers":         {of("", `"containers":[`+repeat(1_000, `{"name":"c-#","image":"app"}`)+`]`), http.StatusOK, `"patch":`},
	"variables":                {of("", `"containers":[{"name":"a","env":[`+repeat(300_000, `{"name":"A#"}`)+`]}]`), http.StatusRequestEntityTooLarge, "the Pod is too large"},
	"csi volumes":              {of("", `"volumes":[`+repeat(5_000, `{"name":"v-#","csi":{"driver":"connectors-csi","volumeAttributes":{"connectors":"a#,b#"}}}`)+`]`), http.StatusOK, "volumes of driver connectors-csi"},
	"one large annotation":     {of(`,"a":"`+strings.Repeat("[{,", 1<<20)+`"`, `"containers":[{"name":"a"}]`), http.StatusOK, `"patch":`},
	"escaped annotation":       {of(`,"a":"`+strings.Repeat(`\"[,`, 1<<20)+`"`, `"containers":[{"name":"a"}]`), http.StatusOK, `"patch":`},
	"annotations":              {of(","+repeat(20_000, `"connectors.alauda.io/a#":""`), `"containers":[{"name":"a"}]`), http.StatusOK, `"warnings":[`},
	"a long list of names":     {strings.Replace(of("", ""), `:"k8s-connector"`, `:"`+repeat(500_000, "a#")+`"`, 1), http.StatusOK, "500000 Connectors are named, at most 16 are allowed"},
	"a kind without end":       {strings.Replace(of("", ""), `"Pod"`, `"`+strings.Repeat(`\u0000`, 1<<18)+`"`, 1), http.StatusOK, "bytes)"},
	"a number without end":     {of("", `"priority":`+strings.Repeat("1", 6<<20)), http.StatusRequestEntityTooLarge, "more than 512 digits in a row"},
	"a quantity without end":   {of("", `"containers":[{"resources":{"limits":{"cpu":"`+strings.Repeat("9", 6<<20)+`"}}}]`), http.StatusRequestEntityTooLarge, "more than 512 digits in a row"},
	"a long quantity":          {of("", `"containers":[{"name":"a","resources":{"limits":{"cpu":"`+strings.Repeat("9", 60_000)+`"}}}]`), http.StatusOK, `"patch":`},
	"long quantities": {
		of("", `"containers":[{"name":"a","resources":{"limits":{`+repeat(1_000, `"c-#":"`+strings.Repeat("9", 512)+`"`)+`}}}]`), http.StatusOK, `"patch":`,
	},
	"an exponent":     {of("", `"containers":[{"name":"a","resources":{"limits":{"cpu":"1e999999999"}}}]`), http.StatusOK, `"patch":`},
	"deep lists":      {of("", `"containers":`+strings.Repeat("[", 1<<20)), http.StatusRequestEntityTooLarge, "the Pod is too large"},
	"less deep lists": {of("", `"containers":`+strings.Repeat("[", 20_000)), http.StatusBadRequest, "exceeded max depth"},
	"deep fields":     {of("", `"x":`+strings.Repeat(`{"x":`, 15_000)+"1"+strings.Repeat("}", 15_000)), http.StatusBadRequest, "exceeded max depth"},
	"larger than any": {of(`,"a":"`+strings.Repeat("x", 8<<20)+`"`, ""), http.StatusRequestEntityTooLarge, "the AdmissionReview is larger than 7340032 bytes"},
}

func TestBombs(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	v := newVictim(t)
	client := v.caller(t)
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			code, answer := v.post(t, client, strings.NewReader(bomb.body))
			assert.Equal(t, bomb.code, code)
			assert.Contains(t, answer, bomb.says)
			assert.Less(t, len(answer), 4<<20)
			v.works(t, client)
		})
	}
}

// TestMemoryIsBounded: what takes most of it, at once from many, within the memory
// that config/webhook gives the process; and nothing of it stays.
func TestMemoryIsBounded(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	v := newVictim(t)
	runtime.GC()
	own := heap() // of the bombs themselves, above all
	watch, stop := watchHeap()

	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			client := v.caller(t)
			for _, name := range []string{"few empty containers", "1,000 containers", "empty containers", "one large annotation", "annotations", "larger than any"} {
				// Where there is no room, or no time, there is no answer to it.
				response, err := client.Post("https://"+v.address+InjectPath, "application/json", strings.NewReader(bombs[name].body))
				if err == nil {
					assert.NotEqual(t, http.StatusInternalServerError, response.StatusCode)
					response.Body.Close()
				}
			}
		})
	}
	clients.Wait()
	stop()
	t.Logf("%d MiB before, %d MiB at most", own>>20, watch.Load()>>20)
	assert.Less(t, watch.Load()-own, int64(96<<20))
	v.works(t, v.caller(t))
	assert.True(t, reading.TryAcquire(32<<20), "room that was taken is not given back")
	reading.Release(32 << 20)
	assert.True(t, decoding.TryAcquire(maxDecoded), "room that was taken is not given back")
	decoding.Release(maxDecoded)
}

// heap is what is in use of the heap, as the garbage collector last saw it.
func heap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchHeap says what heap was at most until it is stopped.
func watchHeap() (most *atomic.Int64, stop func()) {
	most = &atomic.Int64{}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most.Store(max(most.Load(), heap()))
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return most, func() {
		close(done)
		watching.Wait()
	}
}

// TestMalformedReviews: what is not a review is an HTTP error that says so, and
// what is the review of no Pod is refused; nothing of it is our failure.
func TestMalformedReviews(t *testing.T) {
	v := newVictim(t)
	client := v.caller(t)
	whole := of("", `"containers":[{"name":"a"}]`)
	for name, test := range map[string]struct {
		body string
		code int
		says string
	}{
		"no JSON":           {"kind: AdmissionReview", http.StatusBadRequest, "invalid character"},
		"a string":          {`"AdmissionReview"`, http.StatusBadRequest, "cannot unmarshal string"},
		"null":              {"null", http.StatusBadRequest, "not an AdmissionReview"},
		"no UID":            {strings.Replace(whole, `"uid":"u",`, "", 1), http.StatusBadRequest, "not an AdmissionReview"},
		"a UID of a number": {strings.Replace(whole, `"uid":"u"`, `"uid":1`, 1), http.StatusBadRequest, "cannot unmarshal number"},
		"a list of requests": {
			strings.Replace(strings.Replace(whole, `"request":{`, `"request":[{`, 1), `}}}}`, `}}]}}`, 1), http.StatusBadRequest, "reading the AdmissionReview",
		},
		"no version":          {strings.Replace(whole, `"apiVersion":"admission.k8s.io/v1",`, "", 1), http.StatusOK, "set admissionReviewVersions to [v1]"},
		"a version of later":  {strings.Replace(whole, "admission.k8s.io/v1", "admission.k8s.io/v2", 1), http.StatusOK, "set admissionReviewVersions to [v1]"},
		"keys twice":          {strings.Replace(whole, `"spec":{`, `"spec":{"hostNetwork":false,"containers":[{"name":"b"},{"name":"c"}],"hostNetwork":true,`, 1), http.StatusOK, "the Pod has hostNetwork"},
		"no UTF-8":            {of(",\"a\xff\xfe\":\"\xc3\x28\"", "\"containers\":[{\"name\":\"\xff\"}]"), http.StatusOK, `"allowed":`},
		"halves of UTF-16":    {of(`,"a":"\ud800"`, `"containers":[{"name":"\udfff"}]`), http.StatusOK, `"allowed":`},
		"control characters":  {of(`,"a":"\u0000\u001b[2J"`, `"containers":[{"name":"\n\r"}]`), http.StatusOK, `"allowed":`},
		"a huge number":       {of("", `"priority":1e400`), http.StatusOK, "reading the Pod"},
		"a negative number":   {of("", `"terminationGracePeriodSeconds":-9223372036854775809`), http.StatusOK, "reading the Pod"},
		"a time of nonsense":  {strings.Replace(whole, `"metadata":{`, `"metadata":{"creationTimestamp":"yesterday",`, 1), http.StatusOK, "reading the Pod"},
		"a namespace of path": {strings.Replace(whole, "team-a", "../../kube-system", 1), http.StatusOK, `"allowed":false`},
		"an empty namespace":  {strings.Replace(whole, "team-a", "", 1), http.StatusOK, `"allowed":false`},
	} {
		t.Run(name, func(t *testing.T) {
			code, answer := v.post(t, client, strings.NewReader(test.body))
			assert.Equal(t, test.code, code, answer)
			assert.Contains(t, answer, test.says)
			if code == http.StatusOK {
				var review admissionv1.AdmissionReview
				require.NoError(t, json.Unmarshal([]byte(answer), &review))
				assert.EqualValues(t, "u", review.Response.UID)
			}
		})
	}
	v.works(t, client)
}

// FuzzServer: whatever is posted, there is an answer, which is not that of a panic,
// and a review is answered by one with its UID.
func FuzzServer(f *testing.F) {
	f.Add(string(reviews.Ordinary), "application/json", InjectPath)
	f.Add(of("", `"containers":[{"name":"a"}]`), "application/json; charset=utf-8", InjectAlwaysPath)
	f.Add(of(`,"connectors.alauda.io/in-cluster":"true"`, `"containers":[{"name":"a","volumeMounts":[{"name":"v","mountPath":"/"}]}]`), "application/json", InjectCSIPath)
	f.Add(`{"kind":"AdmissionReview","request":{"uid":"u","object":[]}}`, "text/plain", "/")
	v := newVictim(f)
	client := v.caller(f)
	f.Fuzz(func(t *testing.T, body, contentType, path string) {
		if !httpguts.ValidHeaderFieldValue(contentType) {
			return // it cannot be sent
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+v.address+"/", strings.NewReader(body))
		require.NoError(t, err)
		request.URL.Path = "/" + strings.TrimLeft(path, "/")
		request.Header.Set("Content-Type", contentType)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NotEqual(t, http.StatusInternalServerError, response.StatusCode, "%s", answer)
		if response.StatusCode != http.StatusOK {
			return
		}
		var asked, answered admissionv1.AdmissionReview
		require.NoError(t, json.Unmarshal(answer, &answered))
		if json.Unmarshal([]byte(body), &asked) == nil && asked.Request != nil {
			require.Equal(t, asked.Request.UID, answered.Response.UID)
		}
	})
}
