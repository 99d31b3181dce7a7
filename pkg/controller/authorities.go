package controller

import (
	"crypto/sha256"
	"crypto/x509"
	"runtime"
	"sync"
	"weak"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

// authorities are certificates that are trusted together. They do not change and
// are shared by all Connectors that trust the same ones: ten thousand Connectors
// tend to have a few dozen targets, and a parsed certificate takes kilobytes.
type authorities struct {
	bundle       connector.Bundle
	certificates []*x509.Certificate
	pem          []byte
	// id tells authorities apart.
	id [sha256.Size]byte
	// text is what they were read from, nil if they were joined.
	text []byte
	// problem is what is wrong with the text that they were read from, nil if
	// nothing is. What could be read is trusted all the same.
	problem error
}

// Len is the number of different certificates.
func (a *authorities) Len() int { return len(a.certificates) }

// Certificates are the certificates in their normal order. They are shared.
func (a *authorities) Certificates() []*x509.Certificate { return a.certificates }

// PEM are the certificates in their normal form. It is shared.
func (a *authorities) PEM() []byte { return a.pem }

// authorityPool finds authorities that are in use already.
type authorityPool struct {
	mu   sync.Mutex
	pool map[[sha256.Size]byte]weak.Pointer[authorities]
}

// parse reads a text of PEM blocks.
func (p *authorityPool) parse(text []byte) *authorities {
	return p.find(sha256.Sum256(append([]byte("text:"), text...)), func(a *authorities) { a.text, a.problem = text, a.bundle.Add(text) })
}

// join is all of the parts together.
func (p *authorityPool) join(parts ...*authorities) *authorities {
	if len(parts) == 1 {
		return parts[0]
	}
	hash := sha256.New()
	hash.Write([]byte("join:")) // nobody can write a text that has the id of others joined
	for _, part := range parts {
		hash.Write(part.id[:])
	}
	return p.find([sha256.Size]byte(hash.Sum(nil)), func(a *authorities) {
		for _, part := range parts {
			a.bundle.Join(&part.bundle)
		}
	})
}

// find returns the authorities with an id, made anew if nobody uses them.
func (p *authorityPool) find(id [sha256.Size]byte, fill func(*authorities)) *authorities {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.pool[id].Value(); known != nil {
		return known
	}
	a := &authorities{id: id}
	fill(a)
	a.certificates, a.pem = a.bundle.Certificates(), a.bundle.PEM()
	if p.pool == nil {
		p.pool = make(map[[sha256.Size]byte]weak.Pointer[authorities])
	}
	pointer := weak.Make(a)
	p.pool[id] = pointer
	runtime.AddCleanup(a, func(id [sha256.Size]byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pool[id] == pointer { // not one that was made after it
			delete(p.pool, id)
		}
	}, id)
	return a
}
