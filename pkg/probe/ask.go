package probe

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const (
	selfSubjectReviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	selfSubjectReviewKind = "SelfSubjectReview"
)

// Account is whom a target takes the owner of a Secret for.
type Account struct {
	// User is the name, "" if the target does not say.
	User string
	// Kubernetes says that the target answered as a Kubernetes API server does.
	Kubernetes bool
}

// Alive asks whether the target is alive, on a connection of its own, so that it
// sees the certificate that the server has now. Errors are *Error.
func (t *Target) Alive(ctx context.Context, q *Question) error {
	got, err := t.do(ctx, t.fresh, q)
	if err != nil || q.expect.met(ctx, got) {
		return err
	}
	return t.refusal(got)
}

// Accepts asks whether the target accepts what the question shows it. Errors are
// *Error of any kind: a server may stop being alive between the probes.
func (t *Target) Accepts(ctx context.Context, q *Question) (Account, error) {
	got, err := t.do(ctx, t.pooled, q)
	if err != nil {
		return Account{}, err
	}
	if !q.expect.met(ctx, got) {
		return Account{}, t.refusal(got)
	}
	return q.account(got), nil
}

func (t *Target) refusal(got *answer) error {
	status := statusText(got.status)
	switch {
	case got.status == http.StatusUnauthorized:
		return &Error{Unauthenticated, "the target refuses what it is shown (" + status + ")"}
	case got.status == http.StatusForbidden:
		return &Error{Unauthorized, "the target forbids the call (" + status + ")"}
	case got.status >= http.StatusInternalServerError:
		return &Error{ServerError, fmt.Sprintf("%s answers with an error of its own (%s); see what is wrong there", t.address, status)}
	case got.status >= 300 && got.status <= 399:
		return &Error{UnexpectedAnswer, fmt.Sprintf("%s redirects elsewhere (%s), which is not followed; put the final address into spec.address", t.address, status)}
	}
	return &Error{UnexpectedAnswer, fmt.Sprintf("%s answers otherwise than the class expects (%s); check host, port and path of spec.address", t.address, status)}
}

// account reads a SelfSubjectReview, if the answer is one.
func (q *Question) account(got *answer) Account {
	review, _ := got.json().(map[string]any)
	if review["kind"] != selfSubjectReviewKind || !strings.HasSuffix(q.url.Path, selfSubjectReviewPath) {
		return Account{}
	}
	status, _ := review["status"].(map[string]any)
	user, _ := status["userInfo"].(map[string]any)
	name, _ := user["username"].(string)
	return Account{Kubernetes: true, User: q.harmless(name, 253)}
}

// Version asks the API server that answered the question of an auth probe for its
// version. It is "" if the server does not say.
func (t *Target) Version(ctx context.Context, q *Question) string {
	u := *q.url
	u.Path, u.RawPath, u.RawQuery = strings.TrimSuffix(u.Path, selfSubjectReviewPath)+"/version", "", ""
	header := make(http.Header)
	if authorization := q.header.Values("Authorization"); len(authorization) > 0 {
		header["Authorization"] = authorization
	}
	got, err := t.do(ctx, t.pooled, &Question{method: http.MethodGet, url: &u, header: header})
	if err != nil || got.status != http.StatusOK {
		return ""
	}
	info, _ := got.json().(map[string]any)
	version, _ := info["gitVersion"].(string)
	return q.harmless(version, 64)
}

// harmless is a text that a server wrote, fit for the status: short, on one line,
// and "" if there is a part in it of what the server was shown.
func (q *Question) harmless(text string, most int) string {
	const part = 12
	if len(text) > 4*most {
		text = text[:4*most] // the rest would not be shown, and looking through it takes time
	}
	for i := 0; i+part <= len(text); i++ {
		for _, values := range q.header {
			for _, value := range values {
				if strings.Contains(value, text[i:i+part]) {
					return ""
				}
			}
		}
	}
	if word := lastWord(q.header.Get("Authorization")); word != "" && strings.Contains(text, word) {
		return ""
	}
	return sanitize(text, most)
}

// lastWord is the token in "Bearer token".
func lastWord(s string) string { return s[strings.LastIndex(s, " ")+1:] }

// statusText is a status as people know it. The text is ours, not the server's.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}
