package probe

// What the dialer asks about an address.
var (
	Control     = control
	IsForbidden = isForbidden
)
