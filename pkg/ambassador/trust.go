package ambassador

import (
	"crypto/x509"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// trust is the pool that verifies an API server: the public roots and ca.
func trust(ca string) *x509.CertPool {
	pool := publicRoots().Clone()
	pool.AppendCertsFromPEM([]byte(ca))
	return pool
}

// publicRoots are Mozilla's. They are in the binary, because neither a file nor
// an environment variable that somebody else may have put into the container
// shall say who is trusted with a token. They are parsed when the first request
// needs them: the fallback package itself would parse all of them at each start,
// needed or not.
var publicRoots = sync.OnceValue(func() *x509.CertPool {
	pool := x509.NewCertPool()
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
