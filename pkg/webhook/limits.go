package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"
)

// Anybody who reaches the port can send what looks like a review, and a Pod can
// be made of nothing but empty containers, each of them a thousand times as large
// in memory as in JSON. These bounds keep all of it within the memory that
// config/webhook gives a replica.
const (
	// maxConnections leaves room for many more API servers than there are.
	maxConnections = 256
	// maxHeader is the most of a request's header, and maxStreams and maxUnread bound
	// what one connection of HTTP/2 has at a time: requests, and bytes that nobody
	// has read yet.
	maxHeader  = 16 << 10
	maxStreams = 100
	maxUnread  = 64 << 10
	// maxReview is the most of a review that is read. The API server takes objects
	// of 3 MB, and there may be two of them in a review.
	maxReview = 7 << 20
	// usualReview has room for all but a few; what is larger grows as it arrives.
	usualReview = 64 << 10
	// minRoom is what a request takes at least, with its answer.
	minRoom = 16 << 10
	// elementSize is what an element of a list takes, if it is a container, while
	// the list grows.
	elementSize = 1 << 10
	// maxContainers is more than any node runs in a Pod. The patch grows with them.
	maxContainers = 1000
	// maxDigits is more than any number has. To read a quantity of millions of digits
	// takes minutes.
	maxDigits = 512
	// maxMessage is the most of an error that is told: some quote what was sent.
	maxMessage = 1 << 10
)

// The memory that reviews take together, in bytes: those that are read or
// answered, and those that are decoded. They are of the process, as its memory is.
var (
	reading  = semaphore.NewWeighted(32 << 20)
	decoding = semaphore.NewWeighted(maxDecoded)
)

const maxDecoded = 32 << 20

var (
	errBusy     = errors.New("the webhook has too many reviews in hand; try again")
	errTooLarge = errors.New("the Pod is too large: it has more fields and elements of lists than any node could run; have fewer")
	errDigits   = fmt.Errorf("something in the Pod has more than %d digits in a row; shorten it", maxDigits)
)

// room is what one request has of reading. What is read through it takes more.
type room struct {
	io.Reader
	read, taken int64
}

// takeRoom takes the room for a request of the given length, which is negative if
// nobody knows. Give it back by leave.
func takeRoom(length int64) (*room, error) {
	r := &room{taken: minRoom + max(0, min(length, usualReview))}
	if !reading.TryAcquire(r.taken) {
		return nil, errBusy
	}
	return r, nil
}

func (r *room) leave() { reading.Release(r.taken) }

// Read takes twice the room of what it reads: the buffer that it goes to doubles.
func (r *room) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += int64(n)
	if missing := 2*r.read - r.taken; missing > 0 {
		more := max(missing, usualReview)
		if !reading.TryAcquire(more) {
			return n, errBusy
		}
		r.taken += more
	}
	return n, err
}

// awaitDecoding waits until there is memory to decode a review in. Call done once
// nothing that was decoded is needed any more.
func awaitDecoding(ctx context.Context, body []byte) (done func(), code int, err error) {
	size := int64(len(body) + elementSize*elements(body))
	if size > maxDecoded {
		return nil, http.StatusRequestEntityTooLarge, errTooLarge
	}
	if len(body) > usualReview && hasLongNumber(body) {
		return nil, http.StatusRequestEntityTooLarge, errDigits
	}
	if err := decoding.Acquire(ctx, size); err != nil {
		return nil, http.StatusServiceUnavailable, errBusy
	}
	return func() { decoding.Release(size) }, 0, nil
}

// elements is how many values a list or an object in JSON has, at most: each stands
// behind a bracket or a comma.
func elements(body []byte) int {
	const few = 4 << 10
	n := bytes.Count(body, []byte("{")) + bytes.Count(body, []byte("[")) + bytes.Count(body, []byte(","))
	if n < few {
		return n
	}
	// Those in strings do not count: annotations are often JSON in their turn.
	n = 0
	quoted := false
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++ // outside a string there is none in JSON
		case '{', '[', ',':
			if !quoted {
				n++
			}
		}
	}
	return n
}

func hasLongNumber(body []byte) bool {
	digits := 0
	for _, b := range body {
		if b < '0' || b > '9' {
			digits = 0
		} else if digits++; digits > maxDigits {
			return true
		}
	}
	return false
}

// brief is an error for whoever sent what it may quote.
func brief(err error) string {
	text := err.Error()
	if len(text) <= maxMessage {
		return text
	}
	end := maxMessage
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(text))
}
