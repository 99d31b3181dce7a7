package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// answerBytes is the size of the answer to a plain request.
const answerBytes = 2 << 10

// upstream answers a few requests of the Kubernetes API. Whoever has not the
// token gets 401: a proxy that forgets it shows.
type upstream struct {
	authorization string
	answer        []byte

	mu      sync.Mutex
	watches map[string]map[chan []byte]bool // by namespace
}

func newUpstream(token string) http.Handler {
	u := &upstream{authorization: "Bearer " + token, watches: map[string]map[chan []byte]bool{}}
	const head, tail = `{"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{"padding":"`, `"}}}`
	u.answer = []byte(head + strings.Repeat("x", answerBytes-len(head)-len(tail)) + tail)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{name}", u.get)
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods", u.watch)
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{name}/log", u.bulk)
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/pods", u.event)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != u.authorization {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (u *upstream) get(w http.ResponseWriter, _ *http.Request) { u.write(w, u.answer) }

func (u *upstream) write(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the client is gone: nobody is left to tell
}

// bulk sends as many bytes as limitBytes says, which is what limits a Pod's log.
func (u *upstream) bulk(w http.ResponseWriter, r *http.Request) {
	left, err := strconv.ParseInt(r.FormValue("limitBytes"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
	block := make([]byte, 64<<10)
	for left > 0 {
		n, err := w.Write(block[:min(left, int64(len(block)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// watch streams the events of a namespace until the client goes away.
func (u *upstream) watch(w http.ResponseWriter, r *http.Request) {
	namespace, events := r.PathValue("namespace"), make(chan []byte, 1)
	u.mu.Lock()
	if u.watches[namespace] == nil {
		u.watches[namespace] = map[chan []byte]bool{}
	}
	u.watches[namespace][events] = true
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.watches[namespace], events)
	}()
	stream := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/json")
	for err := stream.Flush(); err == nil; err = stream.Flush() {
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			if _, err := w.Write(event); err != nil {
				return
			}
		}
	}
}

// event sends an event to every watch of a namespace.
func (u *upstream) event(w http.ResponseWriter, r *http.Request) {
	event := []byte(`{"type":"MODIFIED","object":` + string(u.answer) + "}\n")
	u.mu.Lock()
	defer u.mu.Unlock()
	for events := range u.watches[r.PathValue("namespace")] {
		select {
		case events <- event:
		case <-r.Context().Done():
			return
		}
	}
	u.write(w, []byte("{}"))
}
