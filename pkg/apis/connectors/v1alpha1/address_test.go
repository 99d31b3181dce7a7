package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// What a person gets for one mistake in spec.address.
const (
	mustBeHTTPS = "must start with https://, because the token is only sent over verified TLS"
	noUserInfo  = "must not carry user info; credentials belong into the Secret"
	noQuery     = "must not have a query or a fragment"
	badPath     = "the path may hold letters, digits and . _ ~ - between single slashes only"
	dotSegment  = "the path must not have . or .. segments"
	badHost     = "the host must be a DNS name, an IPv4 address or an IPv6 address in brackets, as in https://api.example.com:6443"
	badPort     = "the port must be a number from 1 to 65535"
)

// addresses are addresses and the sentence about each, "" if it is accepted.
var addresses = []struct{ address, sentence string }{
	{"https://host", ""},
	{"https://host/", ""},
	{"https://api.example.com:6443", ""},
	{"https://API.Example.com", ""},
	{"https://192.168.1.100:6443", ""},
	{"https://[2001:db8::1]", ""},
	{"https://[2001:DB8::1]:6443/prefix", ""},
	{"https://host:1", ""},
	{"https://host:65535", ""},
	{"https://host:6443/kubernetes/global", ""},
	{"https://host:6443/kubernetes/global/", ""},
	{"https://host/a.b_c~d-e/...", ""},
	{"https://xn--bcher-kva.example", ""},
	{"https://1.example.com", ""},
	{"https://a--b", ""},

	{"http://host", mustBeHTTPS},
	{"HTTPS://host", mustBeHTTPS},
	{" https://host", mustBeHTTPS},
	{"host:6443", mustBeHTTPS},
	{"//host", mustBeHTTPS},
	{"https:/host", mustBeHTTPS},
	{"https:host", mustBeHTTPS},
	{"ftp://u:p@host:x/%2e", mustBeHTTPS},

	{"https://user@host", noUserInfo},
	{"https://user:secret@host:6443", noUserInfo},
	{"https://:@host", noUserInfo},
	{"https://@host", noUserInfo},
	{"https://user:pa:ss@host/a", noUserInfo},

	{"https://host?", noQuery},
	{"https://host?a=b", noQuery},
	{"https://host/?a=b", noQuery},
	{"https://host/a?b", noQuery},
	{"https://host#", noQuery},
	{"https://host/a#b", noQuery},
	{"https://host?a/../b", noQuery},

	{"https://host/a b", badPath},
	{"https://host/a%2fb", badPath},
	{"https://host/a%2e%2e", badPath},
	{"https://host/%", badPath},
	{"https://host//", badPath},
	{"https://host//a", badPath},
	{"https://host/a//b", badPath},
	{"https://host/a//", badPath},
	{`https://host/a\b`, badPath},
	{"https://host/ä", badPath},
	{"https://host/a@b", badPath},
	{"https://host/a;b", badPath},
	{"https://host/a:b", badPath},
	{"https://host/a\n", badPath},

	{"https://host/.", dotSegment},
	{"https://host/..", dotSegment},
	{"https://host/a/../b", dotSegment},
	{"https://host/a/./b", dotSegment},
	{"https://host/./", dotSegment},

	{"https://", badHost},
	{"https:///a", badHost},
	{"https://:6443", badHost},
	{"https://ho st", badHost},
	{"https://host_name", badHost},
	{"https://-host", badHost},
	{"https://host-", badHost},
	{"https://host.", badHost},
	{"https://.host", badHost},
	{"https://a..b", badHost},
	{"https://höst", badHost},
	{"https://ho%73t", badHost},
	{"https://host%c3%a4", badHost},
	{"https://10.0.0.256", badHost},
	{"https://127.1", badHost},
	{"https://2130706433", badHost},
	{"https://0x7f.1", badHost},
	{"https://host.0x", badHost},
	{"https://0X7F000001", badHost},
	{"https://010.0.0.1", badHost},
	{"https://2001:db8::1", badHost},
	{"https://fe80::1:6443", badHost},
	{"https://[2001:db8::1", badHost},
	{"https://2001:db8::1]", badHost},
	{"https://[]", badHost},
	{"https://[host]", badHost},
	{"https://[192.0.2.1]", badHost},
	{"https://[::ffff:192.0.2.1]", badHost},
	{"https://[fe80::1%25eth0]", badHost},
	{"https://[fe80::1%eth0]", badHost},
	{"https://[::1]x", badHost},
	{"https://host\n", badHost},
	{"https://host\x00", badHost},
	{"https://a:b:c", badHost},
	{`https://host\`, badHost},
	{"https://" + strings.Repeat("a.", 126) + "ab", badHost},
	{"https://" + strings.Repeat("a.", 126) + "a", ""},

	{"https://host:", badPort},
	{"https://host:/a", badPort},
	{"https://host:0", badPort},
	{"https://host:00443", badPort},
	{"https://host:65536", badPort},
	{"https://host:99999", badPort},
	{"https://host:123456", badPort},
	{"https://host:-1", badPort},
	{"https://host:https", badPort},
	{"https://host:6443 ", badPort},
	{"https://[::1]:", badPort},
	{"https://[::1]:70000", badPort},
}

// The schema and the code must agree: an address that only the schema takes
// would give a Connector that nobody can use, one that only the code takes could
// not be created.
func TestAddress(t *testing.T) {
	for _, tc := range addresses {
		t.Run(tc.address, func(t *testing.T) {
			_, parseErr := connector.ParseAddress(tc.address)
			c := valid()
			c.Spec.Address = tc.address
			err := api.Create(t.Context(), c, client.DryRunAll)
			if tc.sentence == "" {
				require.NoError(t, err)
				require.NoError(t, parseErr)
				return
			}
			require.Equal(t, []string{tc.sentence}, sentences(t, err, "spec.address"))
			require.ErrorIs(t, parseErr, connector.ErrInvalidAddress)
		})
	}
}

func TestAddressLength(t *testing.T) {
	fits := "https://host/" + strings.Repeat("a", 1024-len("https://host/"))
	for address, ok := range map[string]bool{fits: true, fits + "a": false} {
		_, parseErr := connector.ParseAddress(address)
		c := valid()
		c.Spec.Address = address
		err := api.Create(t.Context(), c, client.DryRunAll)
		require.Equal(t, ok, err == nil, "%v", err)
		require.Equal(t, ok, parseErr == nil, "%v", parseErr)
	}
}

// sentences are what the API server says about a field.
func sentences(t *testing.T, err error, field string) []string {
	t.Helper()
	require.Error(t, err)
	var status apierrors.APIStatus
	require.ErrorAs(t, err, &status)
	require.NotNil(t, status.Status().Details, "%v", err)
	var found []string
	for _, cause := range status.Status().Details.Causes {
		require.Equal(t, field, cause.Field, "%v", err)
		_, sentence, ok := strings.Cut(cause.Message, ": ")
		require.True(t, ok, "%q", cause.Message)
		// What is wrong stands before what is to be done: Invalid value: "…": …
		if i := strings.LastIndex(sentence, `": `); i >= 0 {
			sentence = sentence[i+len(`": `):]
		}
		found = append(found, sentence)
	}
	return found
}
