// Targets are the clusters that Connectors point to in the benchmark of the
// controller: many servers in one process of their own, so that what they use is
// told apart from what the controller does. Each answers a probe over TLS as an
// API server does.
//
//	targets -count 50 -refuse .revoked -listen 127.0.0.1:9000
//
// GET / of the address that it listens on says where the servers are, GET /counts
// what has been asked of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"

	"github.com/kube-connector/kube-connector/internal/program"
)

func main() { os.Exit(program.Main("targets", run)) }

func run(ctx context.Context, args []string, _, stderr io.Writer) error {
	flags := flag.NewFlagSet("targets", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "", "where to say what there is")
	count := flags.Int("count", 1, "how many servers")
	refuse := flags.String("refuse", ".revoked", "how a token ends that is not accepted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	t := &target{refuse: *refuse, requests: map[string]int{}}
	type place struct {
		Address string `json:"address"`
		CA      string `json:"ca"`
	}
	places := make([]place, 0, *count)
	for range *count {
		address, ca, err := t.serve(ctx)
		if err != nil {
			return err
		}
		places = append(places, place{address, string(ca)})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, places) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, t.counts()) })
	server := &http.Server{Addr: *listen, Handler: mux}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody is left to tell
}
