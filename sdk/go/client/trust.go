package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// refusals are the alerts by which a server says that it does not take the
// certificate of a client, or that it wants one.
var refusals = [...]tls.AlertError{
	42, // bad certificate
	43, // unsupported certificate
	44, // certificate revoked
	45, // certificate expired
	46, // certificate unknown
	48, // unknown authority
	49, // access denied
}

const certificateRequired tls.AlertError = 116

// distrust says what a server's certificate lacks, or what a server finds
// lacking in ours; empty where an error is of neither. What the server says of
// itself, its names among it, is not repeated.
func distrust(err error) string {
	var (
		verified *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		system   x509.SystemRootsError
		said     *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "expected a certificate of an authority that is trusted, got one of another"
	case errors.As(err, &host):
		return "expected a certificate for the host in the URL, got one for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expected a certificate that is valid now, got one that has expired or is not valid yet"
	case errors.As(err, &system):
		return "expected authorities that the system trusts, got none: whom to trust is in Config.TLS"
	case errors.As(err, &verified), errors.As(err, &invalid):
		return "expected a certificate that can be trusted, got one that cannot"
	case errors.As(err, &said) && said.Op == "remote error":
		return refusal(said.Err.Error())
	}
	return ""
}

// refusal says what an alert does, by the words that the package has for it:
// its type is not to be had over TCP.
func refusal(alert string) string {
	if alert == certificateRequired.Error() {
		return "expected a server that takes this client, got one that requires a client certificate"
	}
	for _, each := range refusals {
		if alert == each.Error() {
			return "expected a server that takes this client, got one that refuses its certificate"
		}
	}
	return ""
}
