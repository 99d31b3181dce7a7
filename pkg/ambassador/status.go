package ambassador

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// retryAfter is what a client is told that should try again, in seconds. kubectl
// and client-go do so up to ten times.
const retryAfter = 1

// statusError is an answer of the ambassador's own. Its message is for a person
// and holds nothing secret.
type statusError struct {
	code    int
	reason  string // a metav1.StatusReason
	message string
	retry   bool
}

// Error implements error.
func (e *statusError) Error() string { return e.message }

func badRequest(message string) *statusError {
	return &statusError{code: http.StatusBadRequest, reason: "BadRequest", message: message}
}

func forbidden(message string) *statusError {
	return &statusError{code: http.StatusForbidden, reason: "Forbidden", message: message}
}

func misdirected(message string) *statusError {
	return &statusError{code: http.StatusMisdirectedRequest, reason: "BadRequest", message: message}
}

func badGateway(message string) *statusError {
	return &statusError{code: http.StatusBadGateway, reason: "InternalError", message: message}
}

func unavailable(message string) *statusError {
	return &statusError{code: http.StatusServiceUnavailable, reason: "ServiceUnavailable", message: message, retry: true}
}

// status is the JSON form of a metav1.Status, which all Kubernetes clients show
// to their user.
type status struct {
	Kind       string         `json:"kind"`
	APIVersion string         `json:"apiVersion"`
	Metadata   struct{}       `json:"metadata"`
	Status     string         `json:"status"`
	Message    string         `json:"message"`
	Reason     string         `json:"reason"`
	Details    *statusDetails `json:"details,omitempty"`
	Code       int            `json:"code"`
}

type statusDetails struct {
	RetryAfterSeconds int `json:"retryAfterSeconds"`
}

func (e *statusError) json() []byte {
	s := status{Kind: "Status", APIVersion: "v1", Status: "Failure", Message: e.message, Reason: e.reason, Code: e.code}
	if e.retry {
		s.Details = &statusDetails{RetryAfterSeconds: retryAfter}
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // a struct of strings and numbers always marshals
	}
	return append(data, '\n')
}

// response is the answer that says e.
func (e *statusError) response() *http.Response {
	body := e.json()
	h := http.Header{"Content-Type": {"application/json"}}
	if e.retry {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if e.code == http.StatusUnauthorized || e.code >= http.StatusInternalServerError {
		warn(h, e.message)
	}
	return &http.Response{
		StatusCode:    e.code,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}
