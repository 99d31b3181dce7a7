package controllerbench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// auditPolicy records what the controller asks the API server for, and no body.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + systemNamespace + ":" + account + `"]
- level: None
`

// asked is one kind of request, and counts how many there were of each.
type asked struct{ verb, resource string }

type counts map[asked]int

// audit reads the audit log of the API server.
type audit struct {
	path   string
	offset int64
	counts counts
}

// read counts what is new since the last time, and returns all.
func (a *audit) read() (counts, error) {
	file, err := os.Open(a.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(a.offset, io.SeekStart); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1] // the rest is half written
	a.offset += int64(len(content))
	all := counts{}
	for k, n := range a.counts {
		all[k] = n
	}
	for line := range bytes.Lines(content) {
		var event struct {
			Stage, Verb, RequestURI string
			ObjectRef               struct{ Resource, Subresource string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		if event.Verb == "watch" && event.Stage == "ResponseComplete" {
			continue // it has been there when it began
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		all[asked{event.Verb, cmp.Or(resource, "discovery")}]++
	}
	a.counts = all
	return all, nil
}

// since are the requests that one reading has more of than another one, the most
// frequent first.
func (c counts) since(before counts, seconds float64) []Requests {
	var rows []Requests
	for k, n := range c {
		if n -= before[k]; n > 0 {
			rows = append(rows, Requests{Verb: k.verb, Resource: k.resource, Count: n, PerMinute: float64(n) / seconds * 60})
		}
	}
	slices.SortFunc(rows, func(a, b Requests) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Verb+a.Resource, b.Verb+b.Resource))
	})
	return rows
}
