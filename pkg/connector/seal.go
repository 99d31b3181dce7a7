package connector

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// sealPurpose keeps the seal from being mistaken for another use of the token as
// a key.
const sealPurpose = "connectors.alauda.io/seal/v1"

// Seal ties an address and a CA bundle to the token that may be sent there: an
// HMAC (RFC 2104, SHA-256) in hexadecimal, with the token as the key.
//
// The sidecar gets both from a ConfigMap, which more people may write than may
// read the Secret. Without the token nobody can make a seal, so nobody can name
// the server that the token goes to but the controller, which takes it from the
// Connector. It also keeps the token of one
// generation from meeting the address of another. A seal says nothing about a
// random token; one short enough to be guessed can be guessed from it.
func Seal(token string, ref Reference, address Address, ca []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	for _, part := range [][]byte{[]byte(sealPurpose), []byte(ref.String()), []byte(address.String()), ca} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write(part)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// SealedBy reports whether seal is what Seal makes of the rest.
func SealedBy(seal, token string, ref Reference, address Address, ca []byte) bool {
	return hmac.Equal([]byte(seal), []byte(Seal(token, ref, address, ca)))
}
