// Package kubeconfig writes the kubeconfig through which an app reaches the
// clusters of its connectors. It writes YAML by hand: the packages that could
// marshal it would cost the sidecar several megabytes in every Pod.
package kubeconfig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/kube-connector/kube-connector/internal/atomicfile"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// soleName is what cluster, context and user are called when there is one
	// connector only.
	soleName = "k8s"
	// placeholderToken stands where clients want a token. The ambassador
	// replaces it; it opens nothing.
	placeholderToken = "fake-token"
	// mode lets app containers of any UID read the file.
	mode = 0o444
)

// Config is what a kubeconfig says.
type Config struct {
	// Entries are the connectors; the first is the current context.
	Entries []Entry
	// ProxyAddress is the host:port on which the ambassador takes CONNECT.
	ProxyAddress string
	// ProxyToken is the temporary token: the password of the proxy.
	ProxyToken string
	// CA is the PEM certificate of the ambassador's own CA.
	CA []byte
}

// Entry is one connector in a kubeconfig.
type Entry struct {
	Connector connector.Reference
	Address   connector.Address
}

// Write puts the kubeconfig at path, readable by everybody who sees that path.
// A reader never sees a part of it.
func Write(path string, c Config) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, mode)
}

// Marshal is the kubeconfig as YAML.
func (c Config) Marshal() ([]byte, error) {
	if len(c.Entries) == 0 {
		return nil, errors.New("a kubeconfig needs at least one connector")
	}
	names := contextNames(c.Entries)
	ca := base64.StdEncoding.EncodeToString(c.CA)

	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nkind: Config\nclusters:\n")
	for i, e := range c.Entries {
		fmt.Fprintf(&b, "- name: %s\n  cluster:\n    server: %s\n    proxy-url: %s\n    certificate-authority-data: %s\n",
			quote(names[i]), quote(e.Address.String()), quote(c.proxyURL(e.Connector)), quote(ca))
	}
	b.WriteString("users:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "- name: %s\n  user:\n    token: %s\n", quote(name), placeholderToken)
	}
	b.WriteString("contexts:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "- name: %s\n  context:\n    cluster: %[1]s\n    user: %[1]s\n", quote(name))
	}
	fmt.Fprintf(&b, "current-context: %s\n", quote(names[0]))
	return b.Bytes(), nil
}

func (c Config) proxyURL(ref connector.Reference) string {
	proxy := url.URL{
		Scheme: "http",
		User:   url.UserPassword(ref.String(), c.ProxyToken), // escapes the slash: team-a%2Fname
		Host:   c.ProxyAddress,
	}
	return proxy.String()
}

// contextNames names each entry after its connector, with the namespace only
// where the name alone would be ambiguous.
func contextNames(entries []Entry) []string {
	if len(entries) == 1 {
		return []string{soleName}
	}
	count := make(map[string]int, len(entries))
	for _, e := range entries {
		count[e.Connector.Name]++
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Connector.Name
		if count[e.Connector.Name] > 1 {
			names[i] = e.Connector.String()
		}
	}
	return names
}

// quote is s as a double-quoted YAML scalar. Every escape that QuoteToASCII
// uses for valid UTF-8 means the same in YAML.
func quote(s string) string {
	return strconv.QuoteToASCII(strings.ToValidUTF8(s, "\uFFFD"))
}
