package ambassador

import (
	"crypto/x509"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// trust is the pool that verifies an API server: the system's roots and ca.
func trust(ca string) *x509.CertPool {
	pool := systemRoots().Clone()
	pool.AppendCertsFromPEM([]byte(ca))
	return pool
}

// systemRoots are the roots of the system, or those of Mozilla where there are
// none, as in an image with one binary only. They are parsed when the first
// request needs them: the fallback package itself would parse all of them at
// each start, needed or not.
var systemRoots = sync.OnceValue(func() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err == nil && !pool.Equal(x509.NewCertPool()) {
		return pool
	}
	pool = x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil:
			continue // this Go does not know it: nothing will be signed by it either
		case root.Constraint != nil:
			pool.AddCertWithConstraint(cert, root.Constraint)
		default:
			pool.AddCert(cert)
		}
	}
	return pool
})
