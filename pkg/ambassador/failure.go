package ambassador

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// failure is the answer to a request that got no response.
func (r *route) failure(err error, up *upstream) *http.Response {
	refusal, unreachable := explain(err, up)
	// Cut last: a token of which a part is missing would not be found.
	refusal.message = fmt.Sprintf("connector %s: %.1000s", r.ref, withoutToken(refusal.message, string(up.snapshot.Token)))
	r.log.Warn("request failed", "status", refusal.code, "reason", refusal.message)
	resp := refusal.response()
	if unreachable {
		r.outage.begin(refusal, up.snapshot)
		// The client's next try is a CONNECT, whose refusal it shows.
		resp.Close = true
	}
	return resp
}

// explain says what an error on the way to the API server means and who can do
// something about it. The server is unreachable if the next request would meet
// the same.
func explain(err error, up *upstream) (refusal *statusError, unreachable bool) {
	server := up.address.Authority()
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		plain    tls.RecordHeaderError
		verify   *tls.CertificateVerificationError
		dns      *net.DNSError
		network  net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return badGateway(fmt.Sprintf("the certificate of %s is signed by an unknown authority%s; caCertSecretRef of the Connector should hold the CA", server, issuer(unknown.Cert))), true
	case errors.As(err, &hostname):
		return badGateway(fmt.Sprintf("the certificate of %s is not for that name: %v; spec.address of the Connector should be a name that it has", server, hostname)), true
	case errors.As(err, &invalid), errors.As(err, &verify):
		return badGateway(fmt.Sprintf("the certificate of %s is not valid: %v", server, err)), true
	case errors.As(err, &plain):
		return badGateway(fmt.Sprintf("%s does not speak TLS; check the port in spec.address of the Connector", server)), true
	// Without the resolver's own words: from "connection refused" in them, kubectl
	// concludes that the API server refuses connections.
	case errors.As(err, &dns) && dns.IsNotFound:
		return badGateway(fmt.Sprintf("the host of %s is not known; check spec.address of the Connector", server)), true
	case errors.As(err, &dns):
		return badGateway(fmt.Sprintf("the host of %s cannot be looked up; check the DNS of this Pod", server)), true
	case errors.Is(err, syscall.ECONNREFUSED):
		return badGateway(fmt.Sprintf("%s refuses connections; is the API server up, and is spec.address of the Connector right?", server)), true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return badGateway(fmt.Sprintf("there is no route to %s from this Pod; check spec.address of the Connector, and firewalls", server)), true
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &statusError{
			code: http.StatusGatewayTimeout, reason: "Timeout",
			message: fmt.Sprintf("%s does not answer in time; is it reachable from this Pod (NetworkPolicy, firewall)?", server),
		}, true
	}
	return badGateway(fmt.Sprintf("talking to %s: %v", server, err)), false
}

func issuer(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	return fmt.Sprintf(" (%q)", cert.Issuer.String())
}

// withoutToken takes the token out of a message. None should be in it; but some
// errors quote what a server has sent, and a server may send back anything.
func withoutToken(message, token string) string {
	return strings.ReplaceAll(message, token, "[redacted]")
}
