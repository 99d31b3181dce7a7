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
	"slices"
	"strconv"
	"strings"

	"github.com/kube-connector/kube-connector/internal/atomicfile"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// soleName is what cluster, context and user are called when there is one
	// connector only.
	soleName = "k8s"
	// placeholderToken stands where clients want a token but the proxy's
	// password counts. The ambassador replaces it; it opens nothing.
	placeholderToken = "fake-token"
	// mode lets app containers of any UID read the file.
	mode = 0o444
)

// Mode is how clients reach the ambassador. A kubeconfig has a context of each
// mode for every connector; its own Mode says which kind is current.
type Mode string

const (
	// ModeProxy is for clients that honour proxy-url: they know the API server
	// under its own name.
	ModeProxy Mode = "proxy"
	// ModeLocalhost is for clients that ignore it: they take the ambassador for
	// the API server.
	ModeLocalhost Mode = "localhost"
)

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case ModeProxy, ModeLocalhost:
		*m = mode
		return nil
	}
	return fmt.Errorf("must be %s or %s", ModeProxy, ModeLocalhost)
}

// Config is what a kubeconfig says.
type Config struct {
	// Entries are the connectors; the first is the current context.
	Entries []Entry
	// Mode is that of the current context.
	Mode Mode
	// ProxyAddress is the host:port on which the ambassador takes CONNECT.
	ProxyAddress string
	// LocalhostAddress is the host:port on which it takes requests.
	LocalhostAddress string
	// Token is the temporary token: the password of the proxy, and the token of
	// the users of the localhost contexts.
	Token string
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
	ca := base64.StdEncoding.EncodeToString(c.CA)
	names := contextNames(c.Entries)
	locals := localhostNames(names)
	current := names[0]
	if c.Mode == ModeLocalhost {
		current = locals[0]
	}

	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nkind: Config\nclusters:\n")
	for i, e := range c.Entries {
		fmt.Fprintf(&b, "- name: %s\n  cluster:\n    server: %s\n    proxy-url: %s\n    certificate-authority-data: %s\n",
			quote(names[i]), quote(e.Address.String()), quote(c.proxyURL(e.Connector)), quote(ca))
	}
	for i, e := range c.Entries {
		fmt.Fprintf(&b, "- name: %s\n  cluster:\n    server: %s\n    certificate-authority-data: %s\n",
			quote(locals[i]), quote("https://"+c.LocalhostAddress+"/"+e.Connector.String()), quote(ca))
	}
	b.WriteString("users:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "- name: %s\n  user:\n    token: %s\n", quote(name), placeholderToken)
	}
	for _, name := range locals {
		fmt.Fprintf(&b, "- name: %s\n  user:\n    token: %s\n", quote(name), quote(c.Token))
	}
	b.WriteString("contexts:\n")
	for _, name := range slices.Concat(names, locals) {
		fmt.Fprintf(&b, "- name: %s\n  context:\n    cluster: %[1]s\n    user: %[1]s\n", quote(name))
	}
	fmt.Fprintf(&b, "current-context: %s\n", quote(current))
	return b.Bytes(), nil
}

func (c Config) proxyURL(ref connector.Reference) string {
	proxy := url.URL{
		Scheme: "http",
		User:   url.UserPassword(ref.String(), c.Token), // escapes the slash: team-a%2Fname
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

// localhostNames are the names of the second contexts. If a connector has the
// name of another's second context, that one has an @, which no name has.
func localhostNames(names []string) []string {
	locals := make([]string, len(names))
	for i, name := range names {
		locals[i] = name + "-localhost"
		if slices.Contains(names, locals[i]) {
			locals[i] = name + "@localhost"
		}
	}
	return locals
}

// quote is s as a double-quoted YAML scalar. Every escape that QuoteToASCII
// uses for valid UTF-8 means the same in YAML.
func quote(s string) string {
	return strconv.QuoteToASCII(strings.ToValidUTF8(s, "\uFFFD"))
}
