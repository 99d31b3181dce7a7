package controller_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// sooner or later a verdict is there: a minute has room for every timeout of a
// probe, on a machine that does much else.
const patienceOfTests = time.Minute

// hostile answers one request, by hand. The connection ends when it returns. over
// is closed when the test is.
type hostile func(conn net.Conn, r *http.Request, over <-chan struct{})

// says answers every request with the same bytes, in which TOKEN is the token that
// came with it.
func says(text string) hostile {
	return func(conn net.Conn, r *http.Request, _ <-chan struct{}) {
		fmt.Fprint(conn, strings.ReplaceAll(text, "TOKEN", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
	}
}

// repeats writes a start, and then something again and again, until nobody reads.
func repeats(start, again string, pause time.Duration) hostile {
	return func(conn net.Conn, _ *http.Request, over <-chan struct{}) {
		for _, err := io.WriteString(conn, start); err == nil; _, err = io.WriteString(conn, again) {
			select {
			case <-over:
				return
			case <-time.After(pause):
			}
		}
	}
}

// alive lets everything pass that has no token, so that the token comes.
func alive(then hostile) hostile {
	return func(conn net.Conn, r *http.Request, over <-chan struct{}) {
		if r.Header.Get("Authorization") == "" {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		then(conn, r, over)
	}
}

// attack makes the Connector point at a server that answers like this.
func (f *fixture) attack(answer hostile) {
	f.t.Helper()
	certificate, ca := testkit.Certificate(f.t, "hostile", time.Now().Add(time.Hour))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	require.NoError(f.t, err)
	over := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			serving.Go(func() {
				defer conn.Close()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					answer(conn, r, over)
				}
			})
		}
	})
	f.t.Cleanup(func() {
		close(over)
		listener.Close()
		serving.Wait()
	})
	f.connector.Spec.Address = "https://" + listener.Addr().String()
	f.secret.Data[connector.SecretKeyCA] = []byte(ca)
}

// verdict waits until the Connector has been judged, and returns what Ready says.
func (f *fixture) verdict() metav1.Condition {
	f.t.Helper()
	var ready metav1.Condition
	require.Eventually(f.t, func() bool {
		found := meta.FindStatusCondition(f.read(f.t).Status.Conditions, string(v1alpha1.ConditionReady))
		if found != nil {
			ready = *found
		}
		return ready.Status == metav1.ConditionTrue || ready.Status == metav1.ConditionFalse
	}, patienceOfTests, tick)
	f.invariantsHold()
	return ready
}

const (
	ok         = "HTTP/1.1 200 OK\r\n"
	created    = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
	everywhere = " TOKEN\r\nTOKEN: TOKEN\r\nX-Token: TOKEN\r\nWww-Authenticate: Bearer TOKEN\r\nLocation: https://TOKEN/TOKEN\r\n" +
		"Warning: 299 - \"TOKEN\"\r\nContent-Type: TOKEN\r\nConnection: close\r\n\r\n" +
		`{"kind":"Status","apiVersion":"v1","message":"TOKEN","reason":"TOKEN","details":{"name":"TOKEN"}}`
)

// TestHostileTargets: whatever a target answers, the Connector is judged, and
// nothing that the target was told or says shows anywhere.
func TestHostileTargets(t *testing.T) {
	var unpacked bytes.Buffer
	packer := gzip.NewWriter(&unpacked)
	_, err := packer.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	gzipped := "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + unpacked.String()

	most, stop := watchHeap()
	t.Run("targets", func(t *testing.T) {
		for name, answer := range map[string]hostile{
			"an endless body":               repeats(ok+"\r\n", strings.Repeat("x", 32<<10), 0),
			"an endless body, with token":   alive(repeats(ok+"\r\n", strings.Repeat("x", 32<<10), 0)),
			"an endless header":             repeats(ok, "X: "+strings.Repeat("x", 4<<10)+"\r\n", 0),
			"an endless line":               repeats(ok+"X: ", strings.Repeat("x", 4<<10), 0),
			"an endless reason":             repeats("HTTP/1.1 200 ", strings.Repeat("x", 4<<10), 0),
			"endless chunks":                repeats(ok+"Transfer-Encoding: chunked\r\n\r\n", "1;"+strings.Repeat("x", 1<<10)+"\r\nx\r\n", 0),
			"an endless trailer":            repeats(ok+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n", "X: "+strings.Repeat("x", 4<<10)+"\r\n", 0),
			"a header that drips":           repeats(ok+"X: ", "x", 50*time.Millisecond),
			"a body that drips":             repeats(ok+"\r\n", "x", 50*time.Millisecond),
			"a body that drips, with token": alive(repeats(ok+"\r\n", "x", 50*time.Millisecond)),
			"hints without end":             repeats("", "HTTP/1.1 103 Early Hints\r\nLink: <TOKEN>\r\n\r\n", 0),
			"continue without end":          repeats("", "HTTP/1.1 100 Continue\r\n\r\n", 0),
			"another protocol":              alive(says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: TOKEN\r\nConnection: Upgrade\r\n\r\nTOKEN")),
			"a bomb":                        alive(says(ok + gzipped)),
			"a bomb, without token":         says(ok + gzipped),
			"a length below zero":           says(ok + "Content-Length: -1\r\n\r\n"),
			"a length above all":            alive(says(ok + "Content-Length: 9223372036854775807\r\n\r\nx")),
			"two lengths":                   alive(says(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nTOKEN")),
			"a length and chunks":           alive(says(ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nTOKEN")),
			"control characters":            alive(says("HTTP/1.1 200 O\x00K\x1b[2J\r\nX: \x00TOKEN\r\n\r\n\x00TOKEN")),
			"no HTTP":                       alive(says("TOKEN\r\n\r\nTOKEN")),
			"nothing":                       says(""),
			"a reset":                       func(conn net.Conn, _ *http.Request, _ <-chan struct{}) { reset(conn) },
			"a reset, with token":           alive(func(conn net.Conn, _ *http.Request, _ <-chan struct{}) { fmt.Fprint(conn, ok); reset(conn) }),
			"the token, 200":                alive(says("HTTP/1.1 200" + everywhere)),
			"the token, 201":                alive(says("HTTP/1.1 201" + everywhere)),
			"the token, 302":                alive(says("HTTP/1.1 302" + everywhere)),
			"the token, 401":                alive(says("HTTP/1.1 401" + everywhere)),
			"the token, 403":                alive(says("HTTP/1.1 403" + everywhere)),
			"the token, 404":                alive(says("HTTP/1.1 404" + everywhere)),
			"the token, 429":                alive(says("HTTP/1.1 429" + everywhere)),
			"the token, 500":                alive(says("HTTP/1.1 500" + everywhere)),
			"the token, 999":                alive(says("HTTP/1.1 999" + everywhere)),
			"deep JSON":                     alive(says(created + strings.Repeat(`{"kind":`, 7<<10))),
			"a number without end":          alive(says(created + `{"kind":` + strings.Repeat("1", 60<<10) + "}")),
			"another type for a name":       alive(says(created + `{"kind":"SelfSubjectReview","status":{"userInfo":{"username":["TOKEN"]}}}`)),
			"no UTF-8":                      alive(says(created + "{\"kind\":\"\xff\xfeTOKEN\"}")),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, patient)
				f.attack(answer)
				f.create(f.secret, f.connector)
				ready := f.verdict()
				assert.Equal(t, metav1.ConditionFalse, ready.Status, "%s: %s", ready.Reason, ready.Message)
				assert.NotContains(t, ready.Message, "xxxx")
			})
		}
	})
	grown := stop()
	t.Logf("the heap grew to %d MiB", most.Load()>>20)
	assert.Less(t, grown, int64(128<<20))
}

// reset ends a connection without the courtesies.
func reset(conn net.Conn) {
	if raw, isTCP := conn.(*tls.Conn).NetConn().(*net.TCPConn); isTCP {
		_ = raw.SetLinger(0)
		raw.Close()
	}
}

// A user of any name may have a token, that of the token itself included.
func TestUserNameIsNotShown(t *testing.T) {
	f := newFixture(t, patient)
	f.attack(alive(says(created + `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"TOKEN","groups":["TOKEN"]}}}`)))
	f.create(f.secret, f.connector)
	f.verdict()
}

// TestRedirects: the token goes where the Connector says. A redirect to the
// metadata service of a cloud, or to somebody who collects tokens, is an answer.
func TestRedirects(t *testing.T) {
	var called atomic.Int64
	thief := target(t, func(http.ResponseWriter, *http.Request) { called.Add(1) })
	plain := httptest.NewServer(thief.Config.Handler)
	t.Cleanup(plain.Close)
	for _, status := range []int{301, 302, 307, 308} {
		for _, to := range []string{thief.URL, plain.URL, "http://169.254.169.254/latest/meta-data/"} {
			t.Run(fmt.Sprint(status, " ", to), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, patient)
				f.attack(says(fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nRefresh: 0; url=%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, to, to)))
				f.secret.Data[connector.SecretKeyCA] = append(f.secret.Data[connector.SecretKeyCA], caOf(thief)...)
				f.create(f.secret, f.connector)
				assert.Equal(t, metav1.ConditionFalse, f.verdict().Status)
			})
		}
	}
	t.Cleanup(func() { assert.Zero(t, called.Load(), "a redirect was followed") })
}

// watchHeap says what is in use of the heap at most, as the garbage collector sees
// it. Stop it to learn by how much it grew.
func watchHeap() (most *atomic.Int64, stop func() int64) {
	live := func() int64 {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	before := live()
	most = &atomic.Int64{}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most.Store(max(most.Load(), live()))
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return most, func() int64 {
		close(done)
		watching.Wait()
		return most.Load() - before
	}
}
