package ambassador

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// proxyUsers are the user names that mean a connector. Most clients decode the
// user of a proxy URL; some send it as it stands there, and some cannot have a
// slash in it at all. A name has no underscore, so these are never ambiguous.
func proxyUsers(ref connector.Reference) []string {
	return []string{
		ref.Namespace + "/" + ref.Name,
		ref.Namespace + "%2F" + ref.Name,
		ref.Namespace + "%2f" + ref.Name,
		ref.Namespace + "_" + ref.Name,
	}
}

// authenticate is the user of a request to the proxy, if it carries the
// temporary token. The error is for the client.
func authenticate(h http.Header, token string) (user string, err error) {
	user, password, err := proxyAuthorization(h)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(password), []byte(token)) != 1 {
		return "", errors.New("wrong temporary token: read the kubeconfig of this Pod again")
	}
	return user, nil
}

// proxyAuthorization reads the one Basic Proxy-Authorization header.
func proxyAuthorization(h http.Header) (user, password string, err error) {
	values := h.Values("Proxy-Authorization")
	if len(values) != 1 {
		return "", "", errors.New("no user and password for the proxy: use the proxy-url of the kubeconfig as it is")
	}
	errMalformed := errors.New("malformed Proxy-Authorization: use the proxy-url of the kubeconfig as it is")
	scheme, encoded, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Basic") {
		return "", "", errMalformed
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", errMalformed
	}
	user, password, found = strings.Cut(string(decoded), ":")
	if !found {
		return "", "", errMalformed
	}
	return user, password, nil
}
