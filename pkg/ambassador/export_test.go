package ambassador

import (
	"net"
	"sync/atomic"

	"github.com/kube-connector/kube-connector/pkg/relay"
)

// What the fuzz targets need.
var (
	NormalAuthority    = normalAuthority
	ProxyAuthorization = proxyAuthorization
	CheckPath          = checkPath
	Below              = below
)

// MaxConnections is the bound on the connections of an Ambassador.
const MaxConnections = maxConnections

// MaxScrapers is the bound on the connections of the metrics port.
const MaxScrapers = maxScrapers

// NewCount is what is done for metrics with each request.
func NewCount() func(*relay.Exchange) {
	c := newCounts()
	return func(x *relay.Exchange) { c.end(x, c.begin()) }
}

// NewBoundedListener is the bound on connections, small enough for a test.
func NewBoundedListener(l net.Listener, most int64) net.Listener {
	return &boundedListener{Listener: l, open: new(atomic.Int64), most: most, refusal: tooMany}
}
