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
	// AddressForbidden says that the address is one that is never asked. Nothing was
	// sent.
	AddressForbidden
	// ServerError says that the server answered with 500 or above, and the class does
	// not take that for a good answer.
	ServerError
	// Unauthenticated says that the server does not accept the secret.
	Unauthenticated
	// Unauthorized says that the server knows the secret and refuses the call.
	Unauthorized
	// UnexpectedAnswer says that the server answered otherwise than the class expects.
	UnexpectedAnswer
	// Unrenderable says that a template of the class does not fit the Connector or its
	// Secret. Nothing was sent.
	Unrenderable
)

// Kinds are all there are.
var Kinds = []Kind{
	ConnectionFailed, UnknownAuthority, CertificateInvalid, AddressForbidden, ServerError,
	Unauthenticated, Unauthorized, UnexpectedAnswer, Unrenderable,
}

// String is the kind in a word, as labels of metrics have it.
func (k Kind) String() string {
	switch k {
	case ConnectionFailed:
		return "connection_failed"
	case UnknownAuthority:
		return "unknown_authority"
	case CertificateInvalid:
		return "certificate_invalid"
	case AddressForbidden:
		return "address_forbidden"
	case ServerError:
		return "server_error"
	case Unauthenticated:
		return "unauthenticated"
	case Unauthorized:
		return "unauthorized"
	case UnexpectedAnswer:
		return "unexpected_answer"
	case Unrenderable:
		return "unrenderable"
	}
	return "other"
}

// Error is why a probe failed. Its text says what is wrong and, where the
// address alone can be the reason, what to check; the caller knows the names of
// the class and the Secrets, and adds what to change in them.
type Error struct {
	// Kind tells the failures apart.
	Kind Kind
	text string
}

func (e *Error) Error() string { return e.text }
