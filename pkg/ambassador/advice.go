package ambassador

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/credential"
)

// warn puts a message where kubectl and client-go show it whatever they do with
// the answer itself: of an answer to discovery they show nothing but the code.
func warn(h http.Header, message string) {
	// The form is that of Kubernetes' own warnings (RFC 7234 section 5.5).
	h.Add("Warning", `299 - "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(message)+`"`)
}

// advise says, beside the server's refusal of the token, whose token that is:
// the app's kubeconfig looks as if it had one of its own.
func (r *route) advise(resp *http.Response, snapshot *credential.Snapshot) {
	if !refused(resp) {
		return
	}
	message := fmt.Sprintf("connector %s: the cluster refuses the token of the Connector's Secret (401 Unauthorized); put a valid one there", r.ref)
	warn(resp.Header, message)
	// Once for each token: whoever uses a refused one uses it often.
	if r.refused.Swap(snapshot) != snapshot {
		r.log.Warn(message)
	}
}
