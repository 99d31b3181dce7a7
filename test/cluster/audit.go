package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

const auditPolicyFile = "audit-policy.yaml"

// auditPolicy records what the product asks the API server for, so that tests can
// compare it with what it may.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + systemNamespace + `"]
- level: None
`

func (c controlPlane) auditLog() string { return c.instance.logFile(c.name + "-audit") }

// Request is what the product asked the home API server for, and its answer.
type Request struct {
	// Account is the ServiceAccount of the system namespace that asked.
	Account string
	// Verb, Group and Resource are what RBAC goes by; Resource is empty for what
	// is no resource, such as discovery, and ends in /subresource if there is one.
	Verb, Group, Resource string
	// URI is what was asked for, Code how that was answered.
	URI  string
	Code int
	// Denied says that a right was lacking. There are other reasons for a 403: in a
	// namespace that is about to go, nobody can create anything.
	Denied bool
}

// Requests are all that the product has asked the home API server for since the
// instance is up. A watch appears when it begins, and again when it ends.
func (c *Cluster) Requests() ([]Request, error) {
	content, err := os.ReadFile(controlPlane{instance: c.instance, name: "home"}.auditLog())
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	var requests []Request
	for line := range strings.Lines(string(content)) {
		if !strings.HasSuffix(line, "\n") {
			break // half written
		}
		var event struct {
			Verb       string `json:"verb"`
			RequestURI string `json:"requestURI"`
			User       struct {
				Username string `json:"username"`
			} `json:"user"`
			ObjectRef struct {
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
				APIGroup    string `json:"apiGroup"`
			} `json:"objectRef"`
			ResponseStatus struct {
				Code int `json:"code"`
			} `json:"responseStatus"`
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		request := Request{
			Account:  strings.TrimPrefix(event.User.Username, "system:serviceaccount:"+systemNamespace+":"),
			Verb:     event.Verb,
			Group:    event.ObjectRef.APIGroup,
			Resource: event.ObjectRef.Resource,
			URI:      event.RequestURI,
			Code:     event.ResponseStatus.Code,
			Denied:   event.Annotations["authorization.k8s.io/decision"] == "forbid",
		}
		if event.ObjectRef.Subresource != "" {
			request.Resource += "/" + event.ObjectRef.Subresource
		}
		requests = append(requests, request)
	}
	return requests, nil
}
