package ambassador

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// defaultPort is the port of an authority that names none.
const defaultPort = "443"

// errAuthority says as much as a person needs who wrote one by hand.
var errAuthority = errors.New("not of the form host:port")

// normalAuthority is the one spelling of an authority (RFC 9110, 4.2.3): lower
// case, no trailing dot, always a port, IPv6 in brackets and in its shortest
// form. Two authorities are the same if these are equal. What is not clearly a
// host and a port is an error, never a guess.
func normalAuthority(s string) (string, error) {
	host, port, err := splitAuthority(s)
	if err != nil {
		return "", err
	}
	if !validPort(port) {
		return "", errAuthority
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.String(), port), nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !validName(host) {
		return "", errAuthority
	}
	return net.JoinHostPort(host, port), nil
}

// splitAuthority separates host and port. Brackets stand around IPv6 addresses
// and around nothing else.
func splitAuthority(s string) (host, port string, err error) {
	if !strings.HasPrefix(s, "[") {
		host, port, found := strings.Cut(s, ":")
		if !found {
			port = defaultPort
		}
		return host, port, nil
	}
	host, rest, found := strings.Cut(s[1:], "]")
	ip, err := netip.ParseAddr(host)
	if !found || err != nil || !ip.Is6() || ip.Zone() != "" {
		return "", "", errAuthority
	}
	if rest == "" {
		return host, defaultPort, nil
	}
	port, found = strings.CutPrefix(rest, ":")
	if !found {
		return "", "", errAuthority
	}
	return host, port, nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

// validName reports whether s, in lower case, may be a DNS name. It need not be
// strict: it is only compared with names that are.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	// Without empty labels: "name.." is not another spelling of "name".
	return len(s) <= 253 && !strings.Contains("."+s+".", "..")
}
