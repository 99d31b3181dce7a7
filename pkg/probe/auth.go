package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const (
	selfSubjectReviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	selfSubjectReview     = `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	anonymousUser         = "system:anonymous"
)

// Accepts asks the server whether it accepts the token, by a SelfSubjectReview,
// which every authenticated user may create and which changes nothing. Servers
// before Kubernetes 1.28 do not have it and answer 404; they are asked for the
// list of API groups instead, which every authenticated user may read.
//
// Errors are *Error of any kind: a server may stop being alive between the
// probes.
func (t *Target) Accepts(ctx context.Context, token string) error {
	got, err := t.do(ctx, http.MethodPost, selfSubjectReviewPath, token, strings.NewReader(selfSubjectReview))
	if err != nil {
		return err
	}
	check := checkReview
	if got.status == http.StatusNotFound {
		if got, err = t.do(ctx, http.MethodGet, "/apis", token, nil); err != nil {
			return err
		}
		check = checkGroups
	}
	if err := checkAlive(got.status); err != nil {
		return err
	}
	switch {
	case got.status == http.StatusUnauthorized:
		return &Error{Unauthenticated, fmt.Sprintf("the cluster refuses the token (%s)", statusText(got.status))}
	case got.status == http.StatusForbidden:
		return &Error{Unauthorized, fmt.Sprintf("the cluster forbids the user of the token a SelfSubjectReview (%s)", statusText(got.status))}
	case got.status >= 300:
		return unexpected(statusText(got.status))
	}
	return check(got.body)
}

// checkReview makes sure that a success is one: a login page answers 200 to
// everything, and a gateway may drop the token and let the call through.
func checkReview(body []byte) error {
	var review struct {
		Kind   string
		Status struct {
			UserInfo struct{ Username string }
		}
	}
	if err := json.Unmarshal(body, &review); err != nil || review.Kind != "SelfSubjectReview" || review.Status.UserInfo.Username == "" {
		return unexpected("no SelfSubjectReview")
	}
	if review.Status.UserInfo.Username == anonymousUser {
		return &Error{UnexpectedAnswer, "the cluster takes the call for an anonymous one; see what between here and there drops the token"}
	}
	return nil
}

func checkGroups(body []byte) error {
	var list struct{ Kind string }
	if err := json.Unmarshal(body, &list); err != nil || (list.Kind != "APIGroupList" && list.Kind != "APIGroupDiscoveryList") {
		return unexpected("no list of API groups")
	}
	return nil
}

func unexpected(what string) error {
	return &Error{UnexpectedAnswer, fmt.Sprintf("the address does not answer as a Kubernetes API server does (%s); check host, port and path of spec.address", what)}
}
