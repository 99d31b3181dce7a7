package ambassador

import (
	"sync/atomic"
	"time"

	"github.com/kube-connector/kube-connector/pkg/credential"
)

// outageMemory is how long a client that opens a tunnel is told of a server that
// could not be reached, before the server is tried again.
const outageMemory = 2 * time.Second

// outage remembers for a moment why the server could not be reached. client-go
// shows nothing of an answer to its discovery but the code, so a person would
// read "an error on the server"; the reason phrase of a refused CONNECT is shown.
type outage struct{ last atomic.Pointer[failure] }

type failure struct {
	refusal  *statusError
	snapshot *credential.Snapshot // whose address and CA did not work
	until    time.Time
}

func (o *outage) begin(refusal *statusError, snapshot *credential.Snapshot) {
	o.last.Store(&failure{refusal: refusal, snapshot: snapshot, until: time.Now().Add(outageMemory)})
}

// end: the server has answered.
func (o *outage) end() {
	if o.last.Load() != nil {
		o.last.Store(nil)
	}
}

// refusal is what to tell a client that wants a tunnel, nil if there is no
// outage. A changed address or CA is worth a try at once.
func (o *outage) refusal(current *credential.Snapshot) *statusError {
	f := o.last.Load()
	if f == nil || f.snapshot != current || time.Now().After(f.until) {
		return nil
	}
	return f.refusal
}
