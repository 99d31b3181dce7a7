package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// describe turns an error of the transport into one of ours. Texts of the
// transport are never passed on: some quote what the server sent.
func (t *Target) describe(err error) error {
	if f := (*forbiddenError)(nil); errors.As(err, &f) {
		return forbiddenAddress(t.address, f.ip)
	}
	if e, ok := describeCertificate(err, t.address.Host(), time.Now()); ok {
		return e
	}
	return &Error{ConnectionFailed, fmt.Sprintf("no connection to %s: %s", t.address, t.connectionProblem(err))}
}

func (t *Target) connectionProblem(err error) string {
	var (
		dns    *net.DNSError
		alert  tls.AlertError
		record tls.RecordHeaderError
		op     *net.OpError
	)
	isTimeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	if e := net.Error(nil); errors.As(err, &e) {
		isTimeout = isTimeout || e.Timeout()
	}
	switch {
	case errors.Is(err, errProxy), errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy of the controller's environment cannot be used; check HTTPS_PROXY and NO_PROXY there"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host name is not known; check spec.address"
	case errors.As(err, &dns):
		return "the host name cannot be looked up; check DNS"
	case isTimeout:
		return fmt.Sprintf("no answer within %s; check spec.address and firewalls", t.timeout)
	case errors.Is(err, context.Canceled):
		return "the probe was cancelled"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused; check host and port of spec.address"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it; check spec.address and firewalls"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS; check the port of spec.address"
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		return "the server breaks the TLS handshake off; check the port, and whether it wants client certificates"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closes the connection; check the port of spec.address"
	}
	return "the server does not answer in HTTP; check the port of spec.address"
}

// describeCertificate says which certificate is at fault and why, if one is.
func describeCertificate(err error, host string, now time.Time) (*Error, bool) {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	bad := func(format string, args ...any) (*Error, bool) {
		return &Error{CertificateInvalid, fmt.Sprintf(format, args...)}, true
	}
	switch {
	case errors.As(err, &authority) && authority.Cert != nil:
		return &Error{UnknownAuthority, fmt.Sprintf("the certificate of %s is not trusted: %s; put that CA into a Secret named by spec.caCertSecretRef, or under ca.crt beside the token", nameOf(authority.Cert), issuerOf(authority.Cert))}, true
	case errors.As(err, &hostname) && hostname.Certificate != nil:
		return bad("the certificate of %s is not for %s but for %s; put one of these into spec.address, or the host into the certificate", nameOf(hostname.Certificate), host, names(hostname.Certificate))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		if now.Before(invalid.Cert.NotBefore) {
			return bad("the certificate of %s is not valid yet; check the clocks", nameOf(invalid.Cert))
		}
		return bad("the certificate of %s has expired; renew it", nameOf(invalid.Cert))
	case errors.As(err, &invalid) && invalid.Cert != nil:
		return bad("the certificate of %s must not be used for this by its own rules (usage, constraints or chain); renew it", nameOf(invalid.Cert))
	case errors.As(err, &verification):
		if len(verification.UnverifiedCertificates) == 0 {
			return bad("the server sends no certificate that can be verified; check the port of spec.address")
		}
		return bad("the certificate of %s cannot be verified; renew it", nameOf(verification.UnverifiedCertificates[0]))
	}
	return nil, false
}

// nameOf names a certificate by its subject, or by its SHA-256 if it has none.
func nameOf(certificate *x509.Certificate) string {
	if subject := certificate.Subject.String(); subject != "" {
		return printable(subject)
	}
	return fmt.Sprintf("SHA-256 %x", sha256.Sum256(certificate.Raw))
}

// issuerOf says which CA is missing.
func issuerOf(certificate *x509.Certificate) string {
	if bytes.Equal(certificate.RawIssuer, certificate.RawSubject) {
		return "it is its own CA"
	}
	return "its CA " + printable(certificate.Issuer.String()) + " is unknown"
}

// names are the first few hosts that a certificate is for.
func names(certificate *x509.Certificate) string {
	const most = 3
	all := slices.Clone(certificate.DNSNames)
	for _, ip := range certificate.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host at all"
	}
	if len(all) > most {
		return printable(strings.Join(all[:most], ", ")) + ", …"
	}
	return printable(strings.Join(all, ", "))
}

// printable quotes a name out of a certificate, which whoever made it chose.
func printable(s string) string {
	const most = 80
	return `"` + strings.ReplaceAll(sanitize(s, most), `"`, "?") + `"`
}

// sanitize keeps a text that somebody else wrote short and on one line.
func sanitize(s string, most int) string {
	var text strings.Builder
	runes := 0
	for _, r := range s {
		if runes == most {
			return text.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		text.WriteRune(r)
		runes++
	}
	return text.String()
}
