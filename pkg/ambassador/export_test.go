package ambassador

import (
	"net"
	"sync/atomic"
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

// NewBoundedListener is the bound on connections, small enough for a test.
func NewBoundedListener(l net.Listener, most int64) net.Listener {
	return &boundedListener{Listener: l, open: new(atomic.Int64), most: most, refusal: tooMany}
}
