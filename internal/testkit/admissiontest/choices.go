package admissiontest

// choices is where a random Pod's shape comes from: each byte decides one thing.
// Where they run out, the plain choice is taken, which is the first.
type choices struct{ rest []byte }

// number is one of 0 … n-1.
func (c *choices) number(n int) int {
	if len(c.rest) == 0 {
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return int(b) % n
}

// oneIn is true once in n times.
func (c *choices) oneIn(n int) bool { return c.number(n) == n-1 }

func pick[T any](c *choices, from ...T) T { return from[c.number(len(from))] }
