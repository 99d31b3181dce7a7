package controller_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// jwt is a token that says when it was issued and when it ends, and that nobody
// has signed.
func (f *fixture) jwt(issued, expires time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"exp":%d,"sub":%q`, expires.Unix(), f.namespace)
	if !issued.IsZero() {
		claims += fmt.Sprintf(`,"iat":%d`, issued.Unix())
	}
	return f.secretive(encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims+"}")) + ".c2lnbmF0dXJl" + f.namespace)
}

func TestTokenExpiry(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	now := time.Now()
	expired := func(ended time.Time) []want {
		on := ended.UTC().Format(time.DateOnly)
		return []want{
			isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonTokenExpired,
				`the token in Secret "k8s-secret" ended on `+on+`; put a new one under its key "token"`),
			isFalse(v1alpha1.ConditionTokenExpiryReady, v1alpha1.ReasonTokenExpired, "the token ended on "+on),
			isUnknown(v1alpha1.ConditionAuthReady, "waits for the Secret"),
			isTrue(v1alpha1.ConditionProxyServiceReady, v1alpha1.ReasonAmbassador),
		}
	}
	for name, tc := range map[string]struct {
		issued, expires time.Time
		want            v1alpha1.ConditionReason
	}{
		"a year, just issued":          {now, now.Add(365 * day), v1alpha1.ReasonNotExpiring},
		"a year, eight days left":      {now.Add(-357 * day), now.Add(8 * day), v1alpha1.ReasonNotExpiring},
		"a year, six days left":        {now.Add(-359 * day), now.Add(6 * day), v1alpha1.ReasonExpiring},
		"an hour, 13 minutes left":     {now.Add(-47 * time.Minute), now.Add(13 * time.Minute), v1alpha1.ReasonNotExpiring},
		"an hour, 11 minutes left":     {now.Add(-49 * time.Minute), now.Add(11 * time.Minute), v1alpha1.ReasonExpiring},
		"who knows how long, two days": {time.Time{}, now.Add(2 * day), v1alpha1.ReasonNotExpiring},
		"who knows how long, an hour":  {time.Time{}, now.Add(hour), v1alpha1.ReasonExpiring},
		"over, within the leeway":      {now.Add(-hour), now.Add(-10 * time.Second), v1alpha1.ReasonExpiring},
		"over":                         {now.Add(-2 * hour), now.Add(-hour), v1alpha1.ReasonTokenExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			f.pointAt(target(t, healthy))
			f.secret.Data[connector.SecretKeyToken] = []byte(f.jwt(tc.issued, tc.expires))
			f.create(f.secret, f.connector)
			on := tc.expires.UTC().Format(time.DateOnly)
			switch tc.want {
			case v1alpha1.ReasonTokenExpired:
				f.await(later, expired(tc.expires)...)
				require.NotEmpty(t, f.configMap(t).Data[v1alpha1.ConnectionKeySeal], "the sidecar hears it from the target")
			case v1alpha1.ReasonExpiring:
				f.await(later, ready, isFalse(v1alpha1.ConditionTokenExpiryReady, tc.want, `the token in Secret "k8s-secret" ends on `+on))
			default:
				f.await(later, ready, want{v1alpha1.ConditionTokenExpiryReady, metav1.ConditionTrue, tc.want, "the token ends on " + on})
			}
			require.Equal(t, tc.expires.Unix(), f.read(t).Status.TokenExpirationTime.Unix())
		})
	}
}

// No change in the cluster calls for a look: the time does. A token that begins to
// expire soon 4 seconds from now, and one that is over then.
func TestTokenExpiresWhileNobodyLooks(t *testing.T) {
	for name, tc := range map[string]struct {
		issued, expires time.Duration // from now
		before, after   v1alpha1.ConditionReason
	}{
		"begins to expire": {4*time.Second - 4*time.Hour, 4*time.Second + time.Hour, v1alpha1.ReasonNotExpiring, v1alpha1.ReasonExpiring},
		"expires":          {-time.Hour, 4*time.Second - time.Minute, v1alpha1.ReasonExpiring, v1alpha1.ReasonTokenExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			f.pointAt(target(t, healthy))
			now := time.Now()
			f.secret.Data[connector.SecretKeyToken] = []byte(f.jwt(now.Add(tc.issued), now.Add(tc.expires)))
			f.create(f.secret, f.connector)
			reason := func() v1alpha1.ConditionReason {
				if found := meta.FindStatusCondition(f.read(t).Status.Conditions, string(v1alpha1.ConditionTokenExpiryReady)); found != nil {
					return v1alpha1.ConditionReason(found.Reason)
				}
				return ""
			}
			require.Eventually(t, func() bool { return reason() == tc.before }, later, tick)
			require.Eventually(t, func() bool { return reason() == tc.after }, later, tick)
			f.invariantsHold()
		})
	}
}
