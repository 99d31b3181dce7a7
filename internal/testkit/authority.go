package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority is a CA that signs with a certificate between it and those of servers.
type Authority struct {
	// PEM makes a client trust it.
	PEM []byte

	between *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewAuthority makes a CA.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	root, rootKey := signed(tb, &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true}, nil, nil)
	between, key := signed(tb, &x509.Certificate{Subject: pkix.Name{CommonName: "between"}, IsCA: true}, root, rootKey)
	return &Authority{PEM: encode("CERTIFICATE", root.Raw), between: between, key: key}
}

// Issue makes a server's certificate, with the one between, and its key, both PEM.
func (a *Authority) Issue(tb testing.TB, dnsName string) (chain, key []byte) {
	tb.Helper()
	leaf, leafKey := signed(tb, &x509.Certificate{DNSNames: []string{dnsName}}, a.between, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	require.NoError(tb, err)
	return append(encode("CERTIFICATE", leaf.Raw), encode("CERTIFICATE", a.between.Raw)...), encode("PRIVATE KEY", der)
}

// signed makes a certificate; without a parent it signs itself.
func signed(tb testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	if parent == nil {
		parent, parentKey = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return certificate, key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
