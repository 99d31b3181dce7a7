package probe

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// Alive asks the server whether it is there. It sends no token, and any answer
// below 500 will do: 401 and 403 come from servers that know no anonymous
// users. Errors are *Error of kind ConnectionFailed, UnknownAuthority,
// CertificateInvalid or ServerError.
func (t *Target) Alive(ctx context.Context) error {
	got, err := t.do(ctx, http.MethodGet, "/livez", "", nil)
	if err != nil {
		return err
	}
	return checkAlive(got.status)
}

func checkAlive(status int) error {
	if status < http.StatusInternalServerError {
		return nil
	}
	return &Error{ServerError, fmt.Sprintf("the cluster answers with an error of its own (%s); see what is wrong with it", statusText(status))}
}

// statusText is a status as people know it. The text is ours, not the server's.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}
