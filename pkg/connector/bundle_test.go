package connector_test

import (
	"bytes"
	"encoding/pem"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestBundleIsInNormalForm(t *testing.T) {
	one, two := certificate(t, "one"), certificate(t, "two")
	commented := append([]byte("# subject: one\r\n"), one...)
	withHeaders := encode("CERTIFICATE", decode(t, two), map[string]string{"note": "hello"})

	var a, b connector.Bundle
	require.NoError(t, a.Add(commented))
	require.NoError(t, a.Add(withHeaders))
	require.NoError(t, a.Add(one))
	require.NoError(t, b.Add(append(append([]byte{}, two...), one...)))

	require.Equal(t, 2, a.Len())
	require.Equal(t, string(a.PEM()), string(b.PEM()))
	require.NotContains(t, string(a.PEM()), "subject")
	require.NotContains(t, string(a.PEM()), "note")
	require.Len(t, a.Certificates(), 2)

	var joined connector.Bundle
	joined.Join(&connector.Bundle{})
	joined.Join(&a)
	joined.Join(&b)
	require.Equal(t, string(a.PEM()), string(joined.PEM()))

	var again connector.Bundle
	require.NoError(t, again.Add(a.PEM()))
	require.Equal(t, string(a.PEM()), string(again.PEM()))
}

func TestBundleKeepsWhatIsGood(t *testing.T) {
	good := certificate(t, "good")
	key := encode("PRIVATE KEY", []byte("hunter2hunter2"), nil)
	broken := encode("CERTIFICATE", []byte("not DER"), nil)
	for name, tc := range map[string]struct {
		text []byte
		want error
		kept int
	}{
		"nothing":                     {nil, connector.ErrNoCertificate, 0},
		"text only":                   {[]byte("hello"), connector.ErrNoCertificate, 0},
		"a key":                       {key, connector.ErrNotOnlyCertificates, 0},
		"a key and a certificate":     {join(key, good), connector.ErrNotOnlyCertificates, 1},
		"not DER":                     {broken, connector.ErrBadCertificate, 0},
		"not DER, then a certificate": {join(broken, good), connector.ErrBadCertificate, 1},
		"a certificate, then not DER": {join(good, broken), connector.ErrBadCertificate, 1},
		"cut off":                     {good[:len(good)/2], connector.ErrBadCertificate, 0},
		"a certificate, then cut off": {join(good, good[:len(good)/2]), connector.ErrBadCertificate, 1},
		"cut off, then a certificate": {join(good[:len(good)/2], []byte("\n"), good), connector.ErrBadCertificate, 1},
		"a certificate":               {good, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var b connector.Bundle
			err := b.Add(tc.text)
			require.ErrorIs(t, err, tc.want)
			require.Equal(t, tc.kept, b.Len())
			require.NotContains(t, string(b.PEM()), "PRIVATE")
		})
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add(certificate(f, "seed"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b connector.Bundle
		err := b.Add(text)
		require.Equal(t, b.Len() == 0, len(b.PEM()) == 0)
		if err == nil {
			require.Positive(t, b.Len())
		}
		if b.Len() > 0 {
			var again connector.Bundle
			require.NoError(t, again.Add(b.PEM()))
			require.True(t, bytes.Equal(b.PEM(), again.PEM()))
		}
	})
}

func certificate(tb testing.TB, name string) []byte {
	tb.Helper()
	_, ca := testkit.Certificate(tb, name, time.Now().Add(time.Hour))
	return []byte(ca)
}

func encode(kind string, content []byte, headers map[string]string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: content})
}

func decode(tb testing.TB, text []byte) []byte {
	tb.Helper()
	block, _ := pem.Decode(text)
	require.NotNil(tb, block)
	return block.Bytes
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
