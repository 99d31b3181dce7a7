package connector

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
)

// Errors of Bundle.Add. None holds a byte of the input, which may come from a
// Secret.
var (
	// ErrNoCertificate: there is no PEM block at all.
	ErrNoCertificate = errors.New("there is no certificate in PEM in it")
	// ErrBadCertificate: a certificate cannot be read.
	ErrBadCertificate = errors.New("a certificate in it cannot be read")
	// ErrNotOnlyCertificates: there are other PEM blocks, a private key perhaps.
	ErrNotOnlyCertificates = errors.New("there is something other than certificates in it")
)

const (
	pemBegin       = "-----BEGIN"
	pemCertificate = "CERTIFICATE"
)

// Bundle is a set of CA certificates. Its zero value is empty and ready to use.
type Bundle struct {
	certificates map[[sha256.Size]byte]*x509.Certificate
}

// Add adds the certificates of a PEM text. Text outside of PEM blocks is a
// comment. If something in it is no good, the certificates that are good are
// added all the same, so that one bad one does not take the trust in others
// away, and the error says what the matter is.
func (b *Bundle) Add(text []byte) error {
	var problem error
	found := 0
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			if bytes.Contains(rest, []byte(pemBegin)) {
				problem = ErrBadCertificate
			}
			break
		}
		if skipped := text[:len(text)-len(rest)]; bytes.Count(skipped, []byte(pemBegin)) > 1 {
			// pem.Decode passes over a damaged block without a word.
			problem = ErrBadCertificate
		}
		text = rest
		if block.Type != pemCertificate {
			problem = cmp.Or(problem, ErrNotOnlyCertificates)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			problem = ErrBadCertificate
			continue
		}
		if b.certificates == nil {
			b.certificates = make(map[[sha256.Size]byte]*x509.Certificate)
		}
		b.certificates[sha256.Sum256(certificate.Raw)] = certificate
		found++
	}
	if problem == nil && found == 0 {
		return ErrNoCertificate
	}
	return problem
}

// Join adds the certificates of another bundle.
func (b *Bundle) Join(other *Bundle) {
	if b.certificates == nil {
		b.certificates = make(map[[sha256.Size]byte]*x509.Certificate, len(other.certificates))
	}
	maps.Copy(b.certificates, other.certificates)
}

// Len is the number of different certificates.
func (b *Bundle) Len() int { return len(b.certificates) }

// Certificates are the different certificates, in an order that depends on
// nothing but them.
func (b *Bundle) Certificates() []*x509.Certificate {
	all := make([]*x509.Certificate, 0, len(b.certificates))
	for _, certificate := range b.certificates {
		all = append(all, certificate)
	}
	slices.SortFunc(all, func(x, y *x509.Certificate) int { return bytes.Compare(x.Raw, y.Raw) })
	return all
}

// PEM is the bundle in its normal form: each certificate once, in the order of
// Certificates, without comments or headers. It is empty if the bundle is.
func (b *Bundle) PEM() []byte {
	var out bytes.Buffer
	for _, certificate := range b.Certificates() {
		// Writing to a bytes.Buffer does not fail.
		_ = pem.Encode(&out, &pem.Block{Type: pemCertificate, Bytes: certificate.Raw})
	}
	return out.Bytes()
}
