package relay

import "sync/atomic"

// Counts are what the connections to a server have come to. Pools that follow one
// another can share one.
type Counts struct {
	Open       atomic.Int64 // connections that are open, idle ones included
	Handshakes atomic.Int64 // TLS handshakes that succeeded
	Retries    atomic.Int64 // requests that were sent again, as the connection was dead
}

func (c *Counts) open() {
	if c != nil {
		c.Open.Add(1)
		c.Handshakes.Add(1)
	}
}

func (c *Counts) close() {
	if c != nil {
		c.Open.Add(-1)
	}
}

func (c *Counts) retry() {
	if c != nil {
		c.Retries.Add(1)
	}
}
