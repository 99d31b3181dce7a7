package connector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// ErrInvalidAddress is wrapped by every error of ParseAddress.
var ErrInvalidAddress = errors.New("invalid address")

// maxAddressLength is the longest address accepted, in bytes. The schema of
// the Connector has the same bound.
const maxAddressLength = 1024

var (
	// hostPattern is a DNS name (RFC 1123, without a trailing dot). IP literals
	// are checked by netip.
	hostPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	// prefixPattern leaves out percent-encoding on purpose: a prefix that can be
	// spelt in two ways cannot be compared safely.
	prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	// numericHost catches 10.0.0.256, 127.1 or 0x7f.1, which are not IPv4
	// addresses, but some resolvers take them for one. No top-level domain is a
	// number.
	numericHost = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// Address is where the API server of a Connector is: https, a host, a port and
// an optional path prefix. The zero Address is not valid; use ParseAddress.
type Address struct {
	host   string // lower case, IPv6 without brackets
	port   string // decimal, "" if the address had none
	prefix string // "" or "/kubernetes/global"
}

// ParseAddress reads an address as spec.address of a Connector has it:
// "https://host", "https://host:6443", "https://[2001:db8::1]:6443/prefix".
// User info, query, fragment, percent-encoding and dot segments are refused,
// so that an address has one meaning only. Errors wrap ErrInvalidAddress.
func ParseAddress(s string) (Address, error) {
	bad := func(format string, args ...any) error {
		reason := fmt.Sprintf(format, args...)
		if strings.Contains(s, "@") {
			return fmt.Errorf("%w: %s", ErrInvalidAddress, reason) // there may be a password in it
		}
		return fmt.Errorf("%w %q: %s", ErrInvalidAddress, abbreviate(s), reason)
	}
	if len(s) > maxAddressLength {
		return Address{}, bad("longer than %d bytes", maxAddressLength)
	}
	if !strings.HasPrefix(s, "https://") {
		return Address{}, bad("must start with https://, because the token is only sent over verified TLS")
	}
	u, err := url.Parse(s)
	if err != nil {
		return Address{}, bad("not a URL; write it as https://host:port")
	}
	switch {
	case u.Opaque != "" || u.Host == "":
		return Address{}, bad("has no host; write it as https://host:port")
	case u.User != nil:
		return Address{}, bad("must not carry user info; credentials belong into the Secret")
	case u.RawQuery != "" || u.ForceQuery:
		return Address{}, bad("must not have a query")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return Address{}, bad("must not have a fragment")
	}
	host := strings.ToLower(u.Hostname())
	if err := checkHost(host, strings.HasPrefix(u.Host, "[")); err != nil {
		return Address{}, bad("%v", err)
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return Address{}, bad("the port is empty")
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' {
			return Address{}, bad("the port must be a number from 1 to 65535")
		}
	}
	prefix := strings.TrimSuffix(u.EscapedPath(), "/")
	if prefix != "" {
		if !prefixPattern.MatchString(prefix) {
			return Address{}, bad("the path may hold letters, digits and . _ ~ - between single slashes only")
		}
		for segment := range strings.SplitSeq(prefix, "/") {
			if segment == "." || segment == ".." {
				return Address{}, bad("the path must not have . or .. segments")
			}
		}
	}
	return Address{host: host, port: port, prefix: prefix}, nil
}

func checkHost(host string, bracketed bool) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return errors.New("the IPv6 address must not have a zone")
		}
		if ip.Is4In6() {
			return errors.New("an IPv4 address is written as one, as in https://192.0.2.1:6443")
		}
		if ip.Is6() != bracketed {
			return errors.New("an IPv6 address stands in brackets, as in https://[2001:db8::1]:6443")
		}
		return nil
	}
	if bracketed || numericHost.MatchString(host) || len(host) > 253 || !hostPattern.MatchString(host) {
		return errors.New("the host is neither a DNS name nor an IP address")
	}
	return nil
}

// abbreviate keeps hostile input from filling logs and admission messages.
func abbreviate(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Host is the host name or IP address, in lower case, IPv6 without brackets.
func (a Address) Host() string { return a.host }

// Port is the port in decimal digits, 443 if the address names none.
func (a Address) Port() string {
	if a.port == "" {
		return "443"
	}
	return a.port
}

// Authority is host:port, always with a port and with brackets around IPv6: the
// form that CONNECT uses (RFC 9110 section 9.3.6).
func (a Address) Authority() string { return net.JoinHostPort(a.host, a.Port()) }

// Prefix is the path below which the API is served: "" or "/kubernetes/global",
// never with a slash at its end.
func (a Address) Prefix() string { return a.prefix }

// IsZero reports whether a is the zero Address, which no parse returns.
func (a Address) IsZero() bool { return a.host == "" }

// String is the address in its normal form, which ParseAddress takes again.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port != "" {
		host += ":" + a.port
	}
	return "https://" + host + a.prefix
}
