package probe

// Kind is what went wrong with a probe.
type Kind int

const (
	// ConnectionFailed says that no connection came about, or it broke or timed out.
	ConnectionFailed Kind = iota + 1
	// UnknownAuthority says that nobody who is trusted has signed the server's
	// certificate.
	UnknownAuthority
	// CertificateInvalid says that the server's certificate is not for this host,
	// or not valid now.
	CertificateInvalid
	// ServerError says that the server answered with 500 or above.
	ServerError
	// Unauthenticated says that the server does not accept the token.
	Unauthenticated
	// Unauthorized says that the server knows the token and refuses the call.
	Unauthorized
	// UnexpectedAnswer says that the server answered, but not as an API server
	// does.
	UnexpectedAnswer
)

// Error is why a probe failed. Its text says what is wrong and, where the
// address alone can be the reason, what to check; the caller knows the names of
// the Secrets and adds what to change in them.
type Error struct {
	// Kind tells the failures apart.
	Kind Kind
	text string
}

func (e *Error) Error() string { return e.text }
