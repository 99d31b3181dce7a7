package connector_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Which addresses are accepted is also tested beside the schema, on a real API
// server: see pkg/apis/connectors/v1alpha1.

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct {
		in, host, port, prefix, authority, normal string
	}{
		{"https://api.example.com", "api.example.com", "443", "", "api.example.com:443", "https://api.example.com"},
		{"https://api.example.com/", "api.example.com", "443", "", "api.example.com:443", "https://api.example.com"},
		{"https://API.Example.COM:6443", "api.example.com", "6443", "", "api.example.com:6443", "https://api.example.com:6443"},
		{"https://192.168.1.100:6443", "192.168.1.100", "6443", "", "192.168.1.100:6443", "https://192.168.1.100:6443"},
		{"https://[2001:DB8::1]:6443", "2001:db8::1", "6443", "", "[2001:db8::1]:6443", "https://[2001:db8::1]:6443"},
		{"https://[2001:db8::1]", "2001:db8::1", "443", "", "[2001:db8::1]:443", "https://[2001:db8::1]"},
		{"https://host:6443/kubernetes/global", "host", "6443", "/kubernetes/global", "host:6443", "https://host:6443/kubernetes/global"},
		{"https://host/Some.Path_with~all-0/", "host", "443", "/Some.Path_with~all-0", "host:443", "https://host/Some.Path_with~all-0"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			got, err := connector.ParseAddress(tc.in)
			require.NoError(t, err)
			require.Equal(t, tc.host, got.Host())
			require.Equal(t, tc.port, got.Port())
			require.Equal(t, tc.prefix, got.Prefix())
			require.Equal(t, tc.authority, got.Authority())
			require.Equal(t, tc.normal, got.String())
			require.False(t, got.IsZero())
		})
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "must start with https://",
		"http://host":                    "must start with https://",
		"https://":                       "has no host",
		"https://host:0":                 "the port must be",
		"https://host:":                  "the port is empty",
		"https://host:x":                 "not a URL",
		"https://host?":                  "query",
		"https://host#":                  "fragment",
		"https://host/a/../b":            ". or ..",
		"https://host/a%2fb":             "the path may hold",
		"https://10.0.0.256":             "neither a DNS name nor an IP address",
		"https://127.1":                  "neither a DNS name nor an IP address",
		"https://0x7f.0x1":               "neither a DNS name nor an IP address",
		"https://[::ffff:192.0.2.1]":     "an IPv4 address is written as one",
		"https://[fe80::1%25eth0]":       "zone",
		"https://" + long(1100, "a"):     "longer than 1024",
		"https://host/" + long(900, "%"): "not a URL",
	} {
		_, err := connector.ParseAddress(in)
		require.ErrorIs(t, err, connector.ErrInvalidAddress, in)
		require.ErrorContains(t, err, want, in)
		require.Less(t, len(err.Error()), 300, in)
	}
}

func TestParseAddressDoesNotRepeatPasswords(t *testing.T) {
	for _, in := range []string{
		"https://admin:hunter2@host",
		"http://admin:hunter2@host",
		"https://admin:hunter2 @host",
		"https://admin:hunter2%@host:x",
	} {
		_, err := connector.ParseAddress(in)
		require.ErrorIs(t, err, connector.ErrInvalidAddress)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestZeroAddress(t *testing.T) {
	require.True(t, connector.Address{}.IsZero())
	require.Empty(t, connector.Address{}.String())
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"https://host", "https://host:6443/a/b", "https://[2001:db8::1]:6443/", "https://h/a%2e%2e",
		"https://u@h", "https://h?q#f", "https://h//", "https://[::1%25a]", "HTTPS://H", "https://a:b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := connector.ParseAddress(in)
		if err != nil {
			require.ErrorIs(t, err, connector.ErrInvalidAddress)
			require.True(t, got.IsZero())
			return
		}
		require.True(t, strings.HasPrefix(in, "https://"))
		require.NotContains(t, in, "%")
		require.False(t, strings.HasSuffix(got.Prefix(), "/"))
		again, err := connector.ParseAddress(got.String())
		require.NoError(t, err, "the normal form %q", got)
		require.Equal(t, got, again)
	})
}

func long(n int, s string) string { return strings.Repeat(s, n) }
