package ambassador

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kube-connector/kube-connector/internal/atomicfile"
)

const (
	// caFile holds certificate and key together, so that they always match.
	caFile    = "ca.pem"
	tokenFile = "token"
	// secretMode is for files that nobody else may read.
	secretMode = 0o600
	// tokenBytes is how much randomness the temporary token has.
	tokenBytes = 32
	// lifetime is that of the CA and all it signs: longer than any Pod's. What
	// ends its validity is the end of the Pod.
	lifetime = 10 * 365 * 24 * time.Hour
	// clockSkew is how far a client's clock may be behind.
	clockSkew = time.Hour
)

// Identity is what clients know the ambassador by: its CA, which they trust,
// and the temporary token, which they show.
type Identity struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	token string
}

// OpenIdentity returns the Identity that is kept in dir, or makes it. A
// restarted ambassador has to come back with the same one, because running
// clients have read its kubeconfig. What is there but not usable is replaced.
func OpenIdentity(dir string, log *slog.Logger) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	id := &Identity{}
	if err := keep(filepath.Join(dir, caFile), id.parseCA, newCA, log); err != nil {
		return nil, err
	}
	if err := keep(filepath.Join(dir, tokenFile), id.parseToken, newToken, log); err != nil {
		return nil, err
	}
	return id, nil
}

// keep parses the file at path. If it cannot, it makes a new one.
func keep(path string, parse func([]byte) error, generate func() ([]byte, error), log *slog.Logger) error {
	data, err := os.ReadFile(path)
	if err == nil {
		err = parse(data)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		log.Warn("replacing a file of the state directory; clients that run already must read the kubeconfig again",
			"file", filepath.Base(path), "reason", err.Error())
	}
	if data, err = generate(); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Base(path), err)
	}
	if err := parse(data); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Base(path), err)
	}
	return atomicfile.Write(path, data, secretMode)
}

// CA is the certificate of the CA, in PEM.
func (id *Identity) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw})
}

// Token is the temporary token.
func (id *Identity) Token() string { return id.token }

// leaf is a new certificate for hosts: DNS names or IP addresses.
func (id *Identity) leaf(hosts ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template, err := certificate("connector-proxy")
	if err != nil {
		return tls.Certificate{}, err
	}
	template.NotAfter = id.cert.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, id.cert, key.Public(), id.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate for %s: %w", strings.Join(hosts, ", "), err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// serverTLS is how the ambassador speaks to clients.
func serverTLS(leaf tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{leaf},
		MinVersion:   tls.VersionTLS12,
		// HTTP/2 would cost more here, and has no upgrades.
		NextProtos: []string{"http/1.1"},
		// Small records first would make the first answers of a connection two.
		DynamicRecordSizingDisabled: true,
	}
}

func newCA() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificate("connector-proxy CA")
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

// certificate is what all our certificates have in common. Names end in the
// serial number, so that the CAs of two Pods are never taken for each other.
func certificate(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: fmt.Sprintf("%s %x", name, serial.Bytes()[:4])},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(lifetime),
	}, nil
}

func (id *Identity) parseCA(data []byte) error {
	pair, err := tls.X509KeyPair(data, data) // checks that the two match
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return errors.New("the key is not an ECDSA key on P-256")
	}
	now := time.Now()
	if !pair.Leaf.IsCA || now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
		return errors.New("the certificate is not that of a CA, or not valid now")
	}
	id.cert, id.key = pair.Leaf, key
	return nil
}

func newToken() ([]byte, error) {
	random := make([]byte, tokenBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	return []byte(base64.RawURLEncoding.EncodeToString(random)), nil
}

func (id *Identity) parseToken(data []byte) error {
	token := strings.TrimSpace(string(data))
	random, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(random) != tokenBytes {
		return errors.New("not a temporary token") // without a byte of it
	}
	id.token = token
	return nil
}
