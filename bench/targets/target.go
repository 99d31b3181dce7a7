package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kube-connector/kube-connector/bench/certificate"
)

// target is what all servers do.
type target struct {
	refuse string

	mu             sync.Mutex
	requests       map[string]int // by method and path
	accepted, open int            // connections
}

// serve starts one server with a CA of its own.
func (t *target) serve(ctx context.Context) (address string, ca []byte, err error) {
	made, err := certificate.New("localhost")
	if err != nil {
		return "", nil, err
	}
	pair, err := tls.X509KeyPair(made.Cert, made.Key)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:     t,
		IdleTimeout: 90 * time.Second, // as kube-apiserver
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
		ErrorLog:    log.New(io.Discard, "", 0), // clients that go away
		ConnState:   t.connection,
	}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() { _ = server.ServeTLS(listener, "", "") }() // until it is closed
	return "https://" + listener.Addr().String(), made.CA, nil
}

func (t *target) connection(_ net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case http.StateNew:
		t.accepted++
		t.open++
	case http.StateClosed, http.StateHijacked:
		t.open--
	case http.StateActive, http.StateIdle:
	}
}

// counts are what has been asked of all servers since their start.
func (t *target) counts() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return map[string]any{"requests": maps.Clone(t.requests), "accepted": t.accepted, "open": t.open}
}

// ServeHTTP does with tokens what kube-apiserver does: whoever has none may ask
// whether it is alive and which version it is, a bad one may nothing.
func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.requests[r.Method+" "+r.URL.Path]++
	t.mu.Unlock()
	token, authenticated := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if authenticated && strings.HasSuffix(token, t.refuse) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /livez", "GET /readyz", "GET /healthz":
		_, _ = io.WriteString(w, "ok")
	case "GET /version":
		write(w, http.StatusOK, map[string]string{
			"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": strings.Repeat("0", 40), "gitTreeState": "clean",
			"buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26.0", "compiler": "gc", "platform": "linux/amd64",
		})
	case "POST /apis/authentication.k8s.io/v1/selfsubjectreviews":
		if !authenticated {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		write(w, http.StatusCreated, map[string]any{
			"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": map[string]any{"creationTimestamp": nil},
			"status": map[string]any{"userInfo": map[string]any{
				"username": subject(token), "groups": []string{"system:serviceaccounts", "system:authenticated"},
			}},
		})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// subject is whose token it is.
func subject(token string) string {
	var claims struct {
		Subject string `json:"sub"`
	}
	if parts := strings.Split(token, "."); len(parts) > 1 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(payload, &claims) // a token without a subject is somebody's, too
		}
	}
	return claims.Subject
}
