package ambassador_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/ambassador"
)

func openIdentity(t *testing.T, dir string) (*ambassador.Identity, string) {
	t.Helper()
	var log bytes.Buffer
	id, err := ambassador.OpenIdentity(dir, slog.New(slog.NewJSONHandler(&log, nil)))
	require.NoError(t, err)
	require.NotEmpty(t, id.Token())
	require.NotEmpty(t, id.CA())
	return id, log.String()
}

func TestIdentityOutlivesARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, log := openIdentity(t, dir)
	assert.Empty(t, log)
	second, _ := openIdentity(t, dir)
	assert.Equal(t, first.Token(), second.Token())
	assert.Equal(t, first.CA(), second.CA())

	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
}

func TestIdentitiesDiffer(t *testing.T) {
	first, _ := openIdentity(t, t.TempDir())
	second, _ := openIdentity(t, t.TempDir())
	assert.NotEqual(t, first.Token(), second.Token())
	assert.NotEqual(t, first.CA(), second.CA())
}

func TestCorruptIdentityIsReplaced(t *testing.T) {
	other := t.TempDir()
	openIdentity(t, other)
	read := func(dir, name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return data
	}
	certOf := func(data []byte) []byte { cert, _, _ := bytes.Cut(data, []byte("-----BEGIN PRIVATE")); return cert }
	keyOf := func(data []byte) []byte { return bytes.TrimPrefix(data, certOf(data)) }

	for name, tc := range map[string]struct {
		file    string
		content func(good []byte) []byte
	}{
		"empty CA":               {"ca.pem", func([]byte) []byte { return nil }},
		"half a CA":              {"ca.pem", func(good []byte) []byte { return good[:len(good)/2] }},
		"certificate alone":      {"ca.pem", certOf},
		"key of another CA":      {"ca.pem", func(good []byte) []byte { return append(certOf(good), keyOf(read(other, "ca.pem"))...) }},
		"not a CA":               {"ca.pem", leafPair},
		"empty token":            {"token", func([]byte) []byte { return nil }},
		"short token":            {"token", func(good []byte) []byte { return good[:10] }},
		"token with odd bytes":   {"token", func(good []byte) []byte { return append([]byte("\r\n:"), good[3:]...) }},
		"token that is too long": {"token", func(good []byte) []byte { return append(good, good...) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before, _ := openIdentity(t, dir)
			path := filepath.Join(dir, tc.file)
			require.NoError(t, os.WriteFile(path, tc.content(bytes.Clone(read(dir, tc.file))), 0o600))
			after, log := openIdentity(t, dir)
			assert.Contains(t, log, "replacing a file of the state directory")
			assert.NotContains(t, log, before.Token())
			assert.Equal(t, tc.file == "token", string(before.CA()) == string(after.CA()))
			assert.Equal(t, tc.file == "ca.pem", before.Token() == after.Token())
			_, log = openIdentity(t, dir)
			assert.Empty(t, log, "the new one is good")
		})
	}
}

func TestIdentityThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := ambassador.OpenIdentity(file, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "state directory")
}

// leafPair is a valid certificate with its key that is not a CA's.
func leafPair([]byte) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}
