package controller

import (
	"context"
	"time"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// leeway is by how much the clock here may be ahead of that of whoever issued a
	// token before a good token is called expired.
	leeway = time.Minute
	// A token expires soon when less than a fifth of its lifetime is left: those who
	// renew tokens do so then at the latest, the kubelet among them. longestNotice
	// bounds that for tokens that are good for years, and notice is used where the
	// lifetime is not known.
	longestNotice = 7 * 24 * time.Hour
	notice        = 24 * time.Hour
)

// expiresSoonAt is when a token begins to expire soon.
func expiresSoonAt(life connector.Lifetime) time.Time {
	before := notice
	if !life.Issued.IsZero() {
		before = min(life.Expires.Sub(life.Issued)/5, longestNotice)
	}
	return life.Expires.Add(-before)
}

// hasExpired reports whether a token says that it has ended.
func hasExpired(life connector.Lifetime, now time.Time) bool {
	return !life.Expires.IsZero() && !now.Before(life.Expires.Add(leeway))
}

// untilExpiryChanges is how long it takes until the conditions say something else
// about the end of a token; 0 if they never will.
func untilExpiryChanges(life connector.Lifetime, now time.Time) time.Duration {
	if life.Expires.IsZero() {
		return 0
	}
	for _, moment := range []time.Time{expiresSoonAt(life), life.Expires.Add(leeway)} {
		if now.Before(moment) {
			return moment.Sub(now)
		}
	}
	return 0
}

// day says when a token ends in a message. A time of day would be one of a time
// zone that the reader does not know; status.tokenExpirationTime has it.
func day(t time.Time) string { return t.Format(time.DateOnly) }

// checkTokenExpiry tells ahead of time that a token ends.
func (r *reconciler) checkTokenExpiry(_ context.Context, e *evaluation) (finding, error) {
	expires := e.lifetime.Expires
	switch {
	case hasExpired(e.lifetime, e.now):
		return bad(v1alpha1.ReasonTokenExpired, "the token ended on %s", day(expires)), nil
	case !e.ready(v1alpha1.ConditionSecretReady):
		return unknown("waits for the Secret"), nil
	case e.token == "":
		return good(v1alpha1.ReasonNoExpiry, "there is no token"), nil
	case expires.IsZero():
		return good(v1alpha1.ReasonNoExpiry, "the token does not say when it ends"), nil
	case e.now.Before(expiresSoonAt(e.lifetime)):
		return good(v1alpha1.ReasonNotExpiring, "the token ends on %s", day(expires)), nil
	default:
		return bad(v1alpha1.ReasonExpiring, "the token in Secret %q ends on %s; put a new one there before",
			e.connector.Spec.Auth.SecretRef.Name, day(expires)), nil
	}
}
