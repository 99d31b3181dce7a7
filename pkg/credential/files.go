package credential

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// Names of the files of one connector.
const (
	tokenFile   = "token"
	caFile      = "ca.crt"
	addressFile = "address"
	sealFile    = "seal"
)

// Bounds on the files. Kubernetes has 1 MiB for a whole Secret or ConfigMap.
const (
	maxTokenSize   = 64 << 10
	maxCASize      = 1 << 20
	maxAddressSize = 4 << 10
	maxSealSize    = 1 << 10
)

// dataLink is the symbolic link that the kubelet swaps to replace all files of
// a volume at once.
const dataLink = "..data"

// maxReads bounds how often a read that a swap interrupted is tried again.
const maxReads = 5

// errNoToken is the one problem that means "nothing there", not "bad content".
var errNoToken = errors.New("no token yet")

// errMissing: the volume has no token, or there is no volume.
var errMissing = fmt.Errorf("%w: the file %s is not there; does the Secret of the Connector exist, and does it have the key %q?", errNoToken, tokenFile, tokenFile)

// errNotSealed: somebody else may have written the files, or the controller has
// not caught up with a new token yet.
var errNotSealed = errors.New("address and CA are not sealed with this token; if the Secret was changed just now this passes within two minutes, else look at the status of the Connector")

// errUnconfirmed: the controller has not seen the Connector yet, or its ConfigMap
// went away.
var errUnconfirmed = errors.New("the controller has not confirmed the address of the Connector yet, so the token goes nowhere; if this does not pass within two minutes, look at the status of the Connector")

// read is the Snapshot that the files in root/sub make. The files of one
// Snapshot come from one generation of the volume.
func (s *fileSource) read() (*Snapshot, error) {
	err := errMissing
	for range maxReads {
		before := generation(s.root, s.sub)
		if before == "" {
			continue // not there, or taken away just now because there is a newer one
		}
		var snapshot *Snapshot
		if snapshot, err = readFiles(before); err == nil && s.sealed {
			err = checkSeal(before, s.ref, snapshot)
		}
		if generation(s.root, s.sub) == before {
			return snapshot, err
		}
		err = fmt.Errorf("%s changes faster than it can be read", filepath.Join(s.root, s.sub))
	}
	return nil, err
}

// checkSeal checks that there is an address, and that whoever wrote it and the CA
// knew the token. Whoever made the Pod may have written the address among the
// container's arguments, so the token does not go there.
func checkSeal(dir string, ref connector.Reference, s *Snapshot) error {
	if s.Address.IsZero() {
		return errUnconfirmed
	}
	seal, err := readBounded(filepath.Join(dir, sealFile), maxSealSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !connector.SealedBy(string(seal), string(s.Token), ref, s.Address, []byte(s.CA)) {
		return errNotSealed
	}
	return nil
}

// generation is the directory in which the files are at the moment, with all
// symbolic links resolved, or "" if there is none. The volume may be mounted at
// root or at root/sub. A path with links in it must not stand for a generation:
// it is the same for all of them.
func generation(root, sub string) string {
	dir := filepath.Join(root, sub)
	if inner, err := filepath.EvalSymlinks(filepath.Join(dir, dataLink)); err == nil {
		return inner
	}
	if _, err := os.Lstat(filepath.Join(dir, dataLink)); err == nil {
		return "" // a volume, between two generations
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		return resolved
	}
	return ""
}

func readFiles(dir string) (*Snapshot, error) {
	token, err := readToken(filepath.Join(dir, tokenFile))
	if err != nil {
		return nil, err
	}
	ca, err := readCA(filepath.Join(dir, caFile))
	if err != nil {
		return nil, err
	}
	address, err := readAddress(filepath.Join(dir, addressFile))
	if err != nil {
		return nil, err
	}
	return &Snapshot{Address: address, CA: ca, Token: token}, nil
}

func readToken(path string) (Token, error) {
	data, err := readBounded(path, maxTokenSize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errMissing
	}
	if err != nil {
		return "", err
	}
	token, err := connector.ParseToken(data)
	if err != nil {
		return "", fmt.Errorf("the file %s is %w; put the bare token into the Secret's key %q", tokenFile, err, tokenFile)
	}
	return Token(token), nil
}

func readCA(path string) (string, error) {
	data, err := readBounded(path, maxCASize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return ParseCA(data)
}

// ParseCA is the bundle in the content of a CA file: its certificates only, in
// PEM, and "" for an empty file. Certificates that cannot be parsed are left
// out, so that one bad one does not cost the trust in the others; it is an
// error if none is left.
func ParseCA(data []byte) (string, error) {
	if len(strings.TrimSpace(string(data))) == 0 {
		return "", nil
	}
	var bundle connector.Bundle
	err := bundle.Add(data)
	if bundle.Len() == 0 {
		return "", fmt.Errorf("the file %s has no valid certificate: %w; caCertSecretRef of the Connector must name a Secret with a PEM certificate", caFile, err)
	}
	return string(bundle.PEM()), nil
}

func readAddress(path string) (connector.Address, error) {
	data, err := readBounded(path, maxAddressSize)
	if errors.Is(err, fs.ErrNotExist) {
		return connector.Address{}, nil
	}
	if err != nil {
		return connector.Address{}, err
	}
	address, err := connector.ParseAddress(strings.TrimSpace(string(data)))
	if err != nil {
		// Without the cause, which quotes the file: whoever made the volume may have
		// put something else there, a link to a token too.
		return connector.Address{}, fmt.Errorf("the file %s is no address as the controller writes it; look at the status of the Connector", addressFile)
	}
	return address, nil
}

// readBounded is the content of a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	// Before opening it: opening a named pipe would block for ever.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the file %s is not a regular file", filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("the file %s is longer than %d bytes", filepath.Base(path), limit)
	}
	return data, nil
}
