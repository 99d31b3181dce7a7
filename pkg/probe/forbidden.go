package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// forbidden are addresses that nobody means by the address of a Connector: what
// answers there answers to everybody on the node, and hands out the node's own
// credentials.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), // link-local; most clouds' metadata service is in it
	netip.MustParsePrefix("fe80::/10"),      // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
}

// embedding are the IPv6 addresses that lead to an IPv4 address, and the byte from
// which that stands in them.
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64 of a site, RFC 8215
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4, RFC 3056
}

func isForbidden(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, prefix := range forbidden {
		if prefix.Contains(ip) {
			return true
		}
	}
	for _, e := range embedding {
		if bytes := ip.As16(); e.prefix.Contains(ip) && isForbidden(netip.AddrFrom4([4]byte(bytes[e.at:e.at+4]))) {
			return true
		}
	}
	return false
}

// CheckAddress makes sure that an address is none that is never asked, as far as one
// can tell without resolving names. The error is an *Error.
func CheckAddress(address connector.Address) error {
	if ip, err := netip.ParseAddr(address.Host()); err == nil && isForbidden(ip) {
		return forbiddenAddress(address, ip)
	}
	return nil
}

func forbiddenAddress(address connector.Address, ip netip.Addr) error {
	leads := ""
	if ip.String() != address.Host() {
		leads = fmt.Sprintf(" leads to %s, which", ip)
	}
	return &Error{AddressForbidden, fmt.Sprintf("%s%s is link-local or a cloud's metadata service, which is never asked; correct spec.address", address, leads)}
}

// forbiddenError says which address it is.
type forbiddenError struct{ ip netip.Addr }

func (e *forbiddenError) Error() string { return fmt.Sprintf("%s is forbidden", e.ip) }

// control is asked before each connection, when names are resolved: a name may
// lead anywhere, and elsewhere the next time.
func control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("not an IP address and a port")
	}
	if isForbidden(at.Addr()) {
		return &forbiddenError{at.Addr()}
	}
	return nil
}
