package relay

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopByHop are headers that are for the next hop only (RFC 9110 section 7.6.1),
// and some that old clients take for such.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// stripHopByHop removes them, and what Connection names.
func stripHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// stripResponse does so for a response. The protocol that is changed to is for
// the client, too.
func stripResponse(resp *http.Response) {
	protocol := resp.Header.Get("Upgrade")
	stripHopByHop(resp.Header)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Header.Set("Connection", "Upgrade")
		resp.Header.Set("Upgrade", protocol)
	}
}

// requestedProtocol is what a client wants to change to, or "".
func requestedProtocol(h http.Header) string {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}

func wantsTrailers(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
}
